# From the models of the batches to the final model.


rule cross_batch_scores:
    input:
        unpack(similar_groups),
        rows=row_files,
        models=per_member(f"{BATCH_FILES}/model.gbm"),
        out_of_fold=per_member(f"{BATCH_FILES}/out_of_fold.parquet"),
        manifest=ancient(MANIFEST),
        planned=ancient(PLANNED_GROUPS),
    output:
        scores="<results>/ensemble/cross_batch.parquet",
        usage="<results>/usage/cross_batch_scores/all.json",
    log:
        "<logs>/cross_batch_scores.log",
    threads: ALL_ROWS_THREADS
    resources:
        **needs("cross_batch_scores"),
    params:
        batch_keys=plan_keys,
        algorithm=ALGORITHM,
        use_weights=settings.learner.use_weights,
        missing=missing_batches,
        score_rows=score_rows,
    script:
        "../scripts/cross_batch_scores.py"


rule combine_batches:
    input:
        unpack(similar_groups),
        models=per_member(f"{BATCH_FILES}/model.gbm"),
        manifest=ancient(MANIFEST),
        planned=ancient(PLANNED_GROUPS),
        scores="<results>/ensemble/cross_batch.parquet",
    output:
        model="<results>/ensemble/model.gbm",
        combiners="<results>/ensemble/combiners.json",
        combined="<results>/ensemble/combined.parquet",
        usage="<results>/usage/combine_batches/all.json",
    log:
        "<logs>/combine_batches.log",
    threads: 1
    resources:
        **needs("combine_batches"),
    params:
        batch_keys=plan_keys,
        algorithm=ALGORITHM,
        combining=combiner_config,
        use_weights=settings.learner.use_weights,
        missing=missing_batches,
    script:
        "../scripts/combine_batches.py"


rule cross_validate_single:
    input:
        rows=row_files,
        manifest=ancient(MANIFEST),
    output:
        out_of_fold=f"{SINGLE_FOLDS}/out_of_fold.parquet",
        folds=f"{SINGLE_FOLDS}/folds.tsv",
        curves=f"{SINGLE_FOLDS}/learning_curves.parquet",
        models=f"{SINGLE_FOLDS}/folds.gbm",
        usage="<results>/usage/cross_validate_single/{fold}.json",
    log:
        "<logs>/cross_validate_single/{fold}.log",
    threads: ALL_ROWS_THREADS
    resources:
        **needs("cross_validate_single"),
    params:
        batch_keys=plan_keys,
        algorithm=ALGORITHM,
        fold=lambda wildcards: int(wildcards.fold),
        cv=settings.cv.plain(),
        learner=settings.learner.plain(),
    script:
        "../scripts/cross_validate_single.py"


rule train_single:
    input:
        rows=row_files,
        manifest=ancient(MANIFEST),
        fold_scores=per_single_fold(f"{SINGLE_FOLDS}/out_of_fold.parquet"),
        fold_trees=per_single_fold(f"{SINGLE_FOLDS}/folds.tsv"),
        fold_curves=per_single_fold(f"{SINGLE_FOLDS}/learning_curves.parquet"),
    output:
        model="<results>/single/model.gbm",
        held_out="<results>/single/held_out.parquet",
        out_of_fold="<results>/single/out_of_fold.parquet",
        folds="<results>/single/folds.tsv",
        metrics="<results>/single/metrics.tsv",
        curves="<results>/single/learning_curves.parquet",
        calibration="<results>/single/calibration.json",
        usage="<results>/usage/train_single/all.json",
    log:
        "<logs>/train_single.log",
    threads: ALL_ROWS_THREADS
    resources:
        **needs("train_single"),
    params:
        batch_keys=plan_keys,
        algorithm=ALGORITHM,
        cv=settings.cv.plain(),
        learner=settings.learner.plain(),
        method=settings.calibration.method,
    script:
        "../scripts/train_single.py"


rule add_single:
    input:
        ensemble="<results>/ensemble/model.gbm",
        scores="<results>/ensemble/cross_batch.parquet",
        single="<results>/single/model.gbm",
        out_of_fold="<results>/single/out_of_fold.parquet",
        manifest=ancient(MANIFEST),
        planned=ancient(PLANNED_GROUPS),
    output:
        model="<results>/both/model.gbm",
        held_out="<results>/both/held_out.parquet",
        usage="<results>/usage/add_single/all.json",
    log:
        "<logs>/add_single.log",
    threads: 1
    resources:
        **needs("add_single"),
    params:
        batch_keys=plan_keys,
        algorithm=ALGORITHM,
        combining=combiner_config,
        use_weights=settings.learner.use_weights,
    script:
        "../scripts/add_single.py"


rule distil:
    input:
        rows=row_files,
        manifest=ancient(MANIFEST),
        ensemble="<results>/ensemble/model.gbm",
        scores="<results>/ensemble/cross_batch.parquet",
        combined="<results>/ensemble/combined.parquet",
    output:
        model="<results>/distilled/model.gbm",
        held_out="<results>/distilled/held_out.parquet",
        mixes="<results>/distilled/mixes.tsv",
        calibration="<results>/distilled/calibration.json",
        usage="<results>/usage/distil/all.json",
    log:
        "<logs>/distil.log",
    threads: ALL_ROWS_THREADS
    resources:
        **needs("distil"),
    params:
        batch_keys=plan_keys,
        algorithm=ALGORITHM,
        cv=settings.cv.plain(),
        learner=settings.learner.plain(),
        method=settings.calibration.method,
        combining=settings.ensemble.plain()
        | {
            "rivals": [],
            "with_single": None,
            "score_rows": None,
            "uncertainty": False,
            "allow_missing": False,
        },
    script:
        "../scripts/distil.py"


rule consolidate:
    input:
        unpack(built_genes),
        unpack(alone),
        unpack(held_out_alone),
        unpack(fold_models),
        ensemble="<results>/ensemble/model.gbm",
        combined="<results>/ensemble/combined.parquet",
        manifest=after_the_plan(MANIFEST),
        planned=after_the_plan(PLANNED_GROUPS),
        dataset=after_the_plan(PLANNED_DATASET),
    output:
        model=MODEL,
        document_model="<results>/model/model_multiclass_all_genes.gbm",
        pickle="<results>/model/model_multiclass_all_genes.pkl",
        thresholds=report(
            "<results>/model/thresholds.tsv",
            caption="../report/thresholds.rst",
            category="Thresholds",
            labels={"table": "thresholds"},
        ),
        candidates=report(
            "<results>/model/candidates.tsv",
            caption="../report/candidates.rst",
            category="Comparison of candidates",
            labels={"table": "candidates for the final model"},
        ),
        usage="<results>/usage/consolidate/all.json",
    log:
        "<logs>/consolidate.log",
    threads: 1
    resources:
        **needs("consolidate"),
    params:
        algorithm=ALGORITHM,
        batch_keys=plan_keys,
        key=data_key,
        final=final_candidate,
        prevalence=settings.calibration.prevalence,
        left_out=candidates_left_out,
    script:
        "../scripts/consolidate.py"
