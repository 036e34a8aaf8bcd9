# One batch, from its row file to a calibrated and explained model. Row files are ancient: a batch
# runs again if its key changes, and not if a file is rewritten or touched.


rule cross_validate_batch:
    input:
        rows=row_file,
    output:
        out_of_fold=f"{BATCH_FILES}/out_of_fold.parquet",
        folds=f"{BATCH_FILES}/folds.tsv",
        metrics=f"{BATCH_FILES}/metrics.tsv",
        curves=f"{BATCH_FILES}/learning_curves.parquet",
        models=f"{BATCH_FILES}/folds.gbm",
        usage="<results>/usage/cross_validate_batch/{batch}.json",
    log:
        "<logs>/cross_validate_batch/{batch}.log",
    threads: config["learner"]["threads"]
    resources:
        **needs("cross_validate_batch"),
    params:
        key=batch_key,
        algorithm=ALGORITHM,
        cv=settings.cv.plain(),
        learner=settings.learner.plain(),
    script:
        "../scripts/cross_validate_batch.py"


rule train_batch:
    input:
        rows=row_file,
        folds=f"{BATCH_FILES}/folds.tsv",
    output:
        uncalibrated=f"{BATCH_FILES}/uncalibrated.gbm",
        usage="<results>/usage/train_batch/{batch}.json",
    log:
        "<logs>/train_batch/{batch}.log",
    threads: config["learner"]["threads"]
    resources:
        **needs("train_batch"),
    params:
        key=batch_key,
        algorithm=ALGORITHM,
        learner=settings.learner.plain(),
    script:
        "../scripts/train_batch.py"


rule calibrate_batch:
    input:
        out_of_fold=f"{BATCH_FILES}/out_of_fold.parquet",
        uncalibrated=f"{BATCH_FILES}/uncalibrated.gbm",
    output:
        calibration=f"{BATCH_FILES}/calibration.json",
        model=f"{BATCH_FILES}/model.gbm",
        usage="<results>/usage/calibrate_batch/{batch}.json",
    log:
        "<logs>/calibrate_batch/{batch}.log",
    threads: 1
    resources:
        **needs("calibrate_batch"),
    params:
        algorithm=ALGORITHM,
        method=settings.calibration.method,
        use_weights=settings.learner.use_weights,
    script:
        "../scripts/calibrate_batch.py"


rule explain_batch:
    input:
        rows=row_file,
        uncalibrated=f"{BATCH_FILES}/uncalibrated.gbm",
        models=f"{BATCH_FILES}/folds.gbm",
    output:
        shap=f"{BATCH_FILES}/shap.parquet",
        sample=f"{BATCH_FILES}/sample.parquet",
        importance=f"{BATCH_FILES}/importance.tsv",
        families=f"{BATCH_FILES}/families.tsv",
        usage="<results>/usage/explain_batch/{batch}.json",
    log:
        "<logs>/explain_batch/{batch}.log",
    threads: config["learner"]["threads"]
    resources:
        **needs("explain_batch"),
    params:
        algorithm=ALGORITHM,
        explaining=settings.explain.plain(),
        use_weights=settings.learner.use_weights,
    script:
        "../scripts/explain_batch.py"
