rule cross_batch_scores:
    input:
        unpack(similar_groups),
        models=per_member(f"{BATCH_FILES}/model.gbm"),
        out_of_fold=per_member(f"{BATCH_FILES}/out_of_fold.parquet"),
        manifest=ancient("results/batches/manifest.tsv"),
        plan=ancient("results/batches/genes.parquet"),
        profile=ancient("results/dataset/profile.json"),
    output:
        scores="results/ensemble/cross_batch.parquet",
        usage="results/usage/cross_batch_scores/all.json",
    log:
        "logs/cross_batch_scores.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: config["learner"]["threads"]
    resources:
        **needs("cross_batch_scores"),
    params:
        plan=plan_keys,
        algorithm=ALGORITHM,
        dataset=row_config,
        use_weights=config["learner"]["use_weights"],
        missing=missing_batches,
    script:
        "../scripts/cross_batch_scores.py"


rule combine_batches:
    input:
        unpack(similar_groups),
        models=per_member(f"{BATCH_FILES}/model.gbm"),
        manifest=ancient("results/batches/manifest.tsv"),
        plan=ancient("results/batches/genes.parquet"),
        scores="results/ensemble/cross_batch.parquet",
    output:
        model="results/ensemble/model.gbm",
        combiners="results/ensemble/combiners.json",
        combined="results/ensemble/combined.parquet",
        usage="results/usage/combine_batches/all.json",
    log:
        "logs/combine_batches.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 1
    resources:
        **needs("combine_batches"),
    params:
        plan=plan_keys,
        algorithm=ALGORITHM,
        ensemble=combiner_config,
        use_weights=config["learner"]["use_weights"],
        missing=missing_batches,
    script:
        "../scripts/combine_batches.py"


rule train_single:
    input:
        profile=ancient("results/dataset/profile.json"),
        features=ancient("results/features/features.json"),
        plan=ancient(planned("results/batches/genes.parquet")),
    output:
        model="results/single/model.gbm",
        honest="results/single/honest.parquet",
        folds="results/single/folds.tsv",
        metrics="results/single/metrics.tsv",
        curves="results/single/learning_curves.parquet",
        calibration="results/single/calibration.json",
        usage="results/usage/train_single/all.json",
    log:
        "logs/train_single.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: config["learner"]["threads"]
    resources:
        **needs("train_single"),
    params:
        plan=plan_keys,
        algorithm=ALGORITHM,
        dataset=row_config,
        cv=config["cv"],
        learner=learner_config,
        calibration={"method": config["calibration"]["method"]},
    script:
        "../scripts/train_single.py"


rule distil:
    input:
        profile=ancient("results/dataset/profile.json"),
        features=ancient("results/features/features.json"),
        plan=ancient(planned("results/batches/genes.parquet")),
        ensemble="results/ensemble/model.gbm",
        scores="results/ensemble/cross_batch.parquet",
        combined="results/ensemble/combined.parquet",
    output:
        model="results/distilled/model.gbm",
        honest="results/distilled/honest.parquet",
        mixes="results/distilled/mixes.tsv",
        calibration="results/distilled/calibration.json",
        usage="results/usage/distil/all.json",
    log:
        "logs/distil.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: config["learner"]["threads"]
    resources:
        **needs("distil"),
    params:
        plan=plan_keys,
        algorithm=ALGORITHM,
        dataset=row_config,
        cv=config["cv"],
        learner=learner_config,
        calibration={"method": config["calibration"]["method"]},
        ensemble=combiner_config | {"distil_mix": config["ensemble"]["distil_mix"]},
    script:
        "../scripts/distil.py"


rule consolidate:
    input:
        unpack(built_genes),
        unpack(rivals_of_the_final_model),
        ensemble="results/ensemble/model.gbm",
        combined="results/ensemble/combined.parquet",
        # Known to follow the plan: params are then compared when the plan is known.
        manifest=ancient(planned("results/batches/manifest.tsv")),
        plan=ancient(planned("results/batches/genes.parquet")),
        profile=watched("results/dataset/profile.json"),
    output:
        model="results/model/model_multiclass_all_genes.gbm",
        pickle="results/model/model_multiclass_all_genes.pkl",
        thresholds="results/model/thresholds.tsv",
        candidates=report(
            "results/model/candidates.tsv",
            caption="../report/candidates.rst",
            category="Evaluation",
            labels={"table": "candidates for the final model"},
        ),
        usage="results/usage/consolidate/all.json",
    log:
        "logs/consolidate.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 1
    resources:
        **needs("consolidate"),
    params:
        algorithm=ALGORITHM,
        plan=plan_keys,
        fingerprint=data_fingerprint,
        final=config["final"],
        prevalence=config["calibration"]["prevalence"],
    script:
        "../scripts/consolidate.py"


rule estimate:
    input:
        unpack(rivals_of_the_final_model),
        ensemble="results/ensemble/model.gbm",
        combiners="results/ensemble/combiners.json",
        combined="results/ensemble/combined.parquet",
    output:
        table=report(
            "results/ensemble/estimate.tsv",
            caption="../report/estimate.rst",
            category="Evaluation",
            labels={"table": "every system on all training groups"},
        ),
        usage="results/usage/estimate/all.json",
    log:
        "logs/estimate.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 1
    resources:
        **needs("estimate"),
    params:
        algorithm=ALGORITHM,
        evaluation=config["evaluation"],
    script:
        "../scripts/estimate.py"


rule evaluate:
    input:
        unpack(rival_models),
        model="results/model/model_multiclass_all_genes.gbm",
        ensemble="results/ensemble/model.gbm",
        combiners="results/ensemble/combiners.json",
        profile="results/dataset/profile.json",
        genes="results/dataset/genes.parquet",
        test_groups="results/dataset/test_groups.tsv",
        shards=watched(shards),
    output:
        metrics="results/evaluation/metrics.tsv",
        systems=report(
            "results/evaluation/systems.tsv",
            caption="../report/systems.rst",
            category="Evaluation",
            labels={"table": "every system"},
        ),
        comparison=report(
            "results/evaluation/comparison.tsv",
            caption="../report/comparison.rst",
            category="Evaluation",
            labels={"table": "model beside base scores"},
        ),
        corrections="results/evaluation/corrections.tsv",
        predictions="results/evaluation/predictions.parquet",
        usage="results/usage/evaluate/all.json",
    log:
        "logs/evaluate.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: config["learner"]["threads"]
    resources:
        **needs("evaluate"),
    params:
        algorithm=ALGORITHM,
        dataset=row_config,
        evaluation=config["evaluation"],
    script:
        "../scripts/evaluate.py"
