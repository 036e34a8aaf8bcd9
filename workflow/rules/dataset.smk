rule analyze_dataset:
    input:
        shards=watched(shards),
    output:
        profile="results/dataset/profile.json",
        genes="results/dataset/genes.parquet",
        usage="results/usage/analyze_dataset/all.json",
    log:
        "logs/analyze_dataset.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 2
    resources:
        **needs("analyze_dataset"),
    params:
        fingerprint=data_fingerprint,
        dataset=config["dataset"],
        test_column=config["test"]["column"],
    script:
        "../scripts/analyze_dataset.py"


rule choose_test_groups:
    input:
        genes="results/dataset/genes.parquet",
    output:
        groups="results/dataset/test_groups.tsv",
    log:
        "logs/choose_test_groups.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 1
    resources:
        **needs("choose_test_groups"),
    params:
        test=config["test"],
        keep=config["batching"]["keep"],
        kept_plan=kept_plan,
    script:
        "../scripts/choose_test_groups.py"


rule screen_features:
    input:
        profile="results/dataset/profile.json",
        genes="results/dataset/genes.parquet",
        test_groups="results/dataset/test_groups.tsv",
        shards=watched(shards),
    output:
        features="results/features/features.json",
        table=report(
            "results/features/screen.tsv",
            caption="../report/screen.rst",
            category="Data set",
            labels={"table": "feature screen"},
        ),
        usage="results/usage/screen_features/all.json",
    log:
        "logs/screen_features.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 1
    resources:
        **needs("screen_features"),
    params:
        algorithm=ALGORITHM,
        dataset=row_config,
        screen=config["screen"],
    script:
        "../scripts/screen_features.py"


if SIMILARITY:

    rule describe_groups:
        input:
            profile="results/dataset/profile.json",
            genes="results/dataset/genes.parquet",
            test_groups="results/dataset/test_groups.tsv",
            features="results/features/features.json",
            shards=watched(shards),
        output:
            groups=GROUP_FEATURES,
            similarity="results/dataset/similarity.json",
            usage="results/usage/describe_groups/all.json",
        log:
            "logs/describe_groups.log",
        conda:
            "../../envs/genebatch.yaml"
        threads: 1
        resources:
            **needs("describe_groups"),
        params:
            algorithm=ALGORITHM,
            similar_by=config["batching"]["similar_by"],
        script:
            "../scripts/describe_groups.py"


# The plan writes the rows of each batch as well: a rule of its own would stand between a batch and
# its key, and Snakemake looks at no parameter of a job behind one that has to run. They are no
# output: with one of the checkpoint's outputs deleted, Snakemake sees no batch that has to run.
checkpoint plan_batches:
    input:
        unpack(group_features),
        profile="results/dataset/profile.json",
        genes="results/dataset/genes.parquet",
        test_groups="results/dataset/test_groups.tsv",
        features="results/features/features.json",
        shards=watched(shards),
    output:
        manifest=report(
            "results/batches/manifest.tsv",
            caption="../report/manifest.rst",
            category="Data set",
            labels={"table": "batches"},
        ),
        genes="results/batches/genes.parquet",
        memory="results/batches/memory.json",
        coverage=report(
            "results/batches/coverage.tsv",
            caption="../report/coverage.rst",
            category="Data set",
            labels={"table": "coverage"},
        ),
        times_held="results/batches/times_held.tsv",
        usage="results/usage/plan_batches/all.json",
    log:
        "logs/plan_batches.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 2
    resources:
        **needs("plan_batches"),
        budget_mb=planning_budget,
        batch_threads=config["learner"]["threads"],
    params:
        config=plan_config,
        rows="results/rows",
        kept_plan=kept_plan,
    script:
        "../scripts/plan_batches.py"
