# The manifest and the files behind it are ancient: a batch runs again when its key changes, that
# is when its rows, folds or features do, and not when a file of the whole data set is rewritten.
# The file with a batch's rows is no input for that reason: the checkpoint sees to it.


rule cross_validate_batch:
    input:
        profile=ancient("results/dataset/profile.json"),
        features=ancient("results/features/features.json"),
        plan=ancient("results/batches/genes.parquet"),
        manifest=ancient("results/batches/manifest.tsv"),
    output:
        out_of_fold=f"{BATCH_FILES}/out_of_fold.parquet",
        folds=f"{BATCH_FILES}/folds.tsv",
        metrics=f"{BATCH_FILES}/metrics.tsv",
        curves=f"{BATCH_FILES}/learning_curves.parquet",
        models=f"{BATCH_FILES}/folds.gbm",
        usage="results/usage/cross_validate_batch/{batch}.json",
    log:
        "logs/cross_validate_batch/{batch}.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: config["learner"]["threads"]
    resources:
        **needs("cross_validate_batch"),
    params:
        rows="results/rows/{batch}.arrow",
        key=batch_key,
        algorithm=ALGORITHM,
        dataset=row_config,
        cv=config["cv"],
        learner=learner_config,
    script:
        "../scripts/cross_validate_batch.py"


rule train_batch:
    input:
        profile=ancient("results/dataset/profile.json"),
        features=ancient("results/features/features.json"),
        plan=ancient("results/batches/genes.parquet"),
        manifest=ancient("results/batches/manifest.tsv"),
        folds=f"{BATCH_FILES}/folds.tsv",
    output:
        model=f"{BATCH_FILES}/uncalibrated.gbm",
        usage="results/usage/train_batch/{batch}.json",
    log:
        "logs/train_batch/{batch}.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: config["learner"]["threads"]
    resources:
        **needs("train_batch"),
    params:
        rows="results/rows/{batch}.arrow",
        key=batch_key,
        algorithm=ALGORITHM,
        dataset=row_config,
        learner=learner_config,
    script:
        "../scripts/train_batch.py"


rule calibrate_batch:
    input:
        out_of_fold=f"{BATCH_FILES}/out_of_fold.parquet",
        model=f"{BATCH_FILES}/uncalibrated.gbm",
    output:
        calibration=f"{BATCH_FILES}/calibration.json",
        model=f"{BATCH_FILES}/model.gbm",
        usage="results/usage/calibrate_batch/{batch}.json",
    log:
        "logs/calibrate_batch/{batch}.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 1
    resources:
        **needs("calibrate_batch"),
    params:
        algorithm=ALGORITHM,
        dataset=row_config,
        calibration={"method": config["calibration"]["method"]},
        use_weights=config["learner"]["use_weights"],
    script:
        "../scripts/calibrate_batch.py"


rule explain_batch:
    input:
        profile=ancient("results/dataset/profile.json"),
        features=ancient("results/features/features.json"),
        plan=ancient("results/batches/genes.parquet"),
        manifest=ancient("results/batches/manifest.tsv"),
        model=f"{BATCH_FILES}/uncalibrated.gbm",
        models=f"{BATCH_FILES}/folds.gbm",
    output:
        shap=f"{BATCH_FILES}/shap.parquet",
        sample=f"{BATCH_FILES}/sample.parquet",
        importance=f"{BATCH_FILES}/importance.tsv",
        families=f"{BATCH_FILES}/families.tsv",
        usage="results/usage/explain_batch/{batch}.json",
    log:
        "logs/explain_batch/{batch}.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: config["learner"]["threads"]
    resources:
        **needs("explain_batch"),
    params:
        rows="results/rows/{batch}.arrow",
        algorithm=ALGORITHM,
        dataset=row_config,
        explain=config["explain"],
        use_weights=config["learner"]["use_weights"],
    script:
        "../scripts/explain_batch.py"
