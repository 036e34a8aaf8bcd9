rule consolidate:
    input:
        unpack(built_genes),
        models=per_batch(f"{BATCH_FILES}/model.gbm"),
        out_of_fold=per_batch(f"{BATCH_FILES}/out_of_fold.parquet"),
        manifest=ancient("results/batches/manifest.tsv"),
        profile=watched("results/dataset/profile.json"),
    output:
        model="results/model/model_multiclass_all_genes.gbm",
        pickle="results/model/model_multiclass_all_genes.pkl",
        thresholds="results/model/thresholds.tsv",
        usage="results/usage/consolidate/all.json",
    log:
        "logs/consolidate.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 1
    resources:
        mem_mb=whole_memory("consolidate"),
        needs_mb=whole_memory("consolidate"),
    params:
        algorithm=ALGORITHM,
        plan=plan_keys,
        fingerprint=data_fingerprint,
        combiner=config["ensemble"]["combiner"],
        prevalence=config["calibration"]["prevalence"],
    script:
        "../scripts/consolidate.py"


rule evaluate:
    input:
        model="results/model/model_multiclass_all_genes.gbm",
        profile="results/dataset/profile.json",
        genes="results/dataset/genes.parquet",
        test_groups="results/dataset/test_groups.tsv",
        shards=watched(shards),
    output:
        metrics="results/evaluation/metrics.tsv",
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
        mem_mb=whole_memory("evaluate"),
        needs_mb=whole_memory("evaluate"),
    params:
        algorithm=ALGORITHM,
        dataset=row_config,
        evaluation=config["evaluation"],
    script:
        "../scripts/evaluate.py"
