# From the input table to the plan and the row files of its batches.


if TEXT:

    rule table_of_text:
        input:
            unpack(known_origin),
            text=ancient(text_files),
        output:
            shards=BUILT_SHARDS,
            usage="<results>/usage/table_of_text/all.json",
        log:
            "<logs>/table_of_text.log",
        threads: 1
        resources:
            **needs("table_of_text"),
        params:
            fingerprint=text_fingerprint,
            algorithm=ALGORITHM,
            table=TEXT,
        script:
            "../scripts/table_of_text.py"


rule analyze_dataset:
    input:
        unpack(known_origin),
        shards=watched(shards),
    output:
        profile="<results>/dataset/profile.json",
        groups=GROUPS,
        usage="<results>/usage/analyze_dataset/all.json",
    log:
        "<logs>/analyze_dataset.log",
    threads: 2
    resources:
        **needs("analyze_dataset"),
    params:
        fingerprint=data_fingerprint,
        row_digests=ROW_DIGESTS,
        kept_digests=KEPT_DIGESTS,
        table=settings.table.plain(),
        test_column=settings.test.column,
    script:
        "../scripts/analyze_dataset.py"


rule choose_test_groups:
    input:
        groups=GROUPS,
    output:
        test_groups=TEST_GROUPS,
    log:
        "<logs>/choose_test_groups.log",
    threads: 1
    resources:
        **needs("choose_test_groups"),
    params:
        test=settings.test.plain(),
        keep=settings.batching.keep,
        kept_plan=kept_plan,
    script:
        "../scripts/choose_test_groups.py"


rule screen_features:
    input:
        profile="<results>/dataset/profile.json",
        groups=GROUPS,
        test_groups=TEST_GROUPS,
        shards=watched(shards),
    output:
        features="<results>/features/features.json",
        screened=report(
            "<results>/features/screen.tsv",
            caption="../report/screen.rst",
            category="Data set",
            labels={"table": "feature screen"},
        ),
        usage="<results>/usage/screen_features/all.json",
    log:
        "<logs>/screen_features.log",
    threads: 1
    resources:
        **needs("screen_features"),
    params:
        algorithm=ALGORITHM,
        labels=settings.table.labels.plain(),
        screening=settings.screen.plain(),
    script:
        "../scripts/screen_features.py"


if SIMILARITY:

    rule describe_groups:
        input:
            profile="<results>/dataset/profile.json",
            groups=GROUPS,
            test_groups=TEST_GROUPS,
            features="<results>/features/features.json",
            shards=watched(shards),
        output:
            group_features=GROUP_FEATURES,
            similarity="<results>/dataset/similarity.json",
            usage="<results>/usage/describe_groups/all.json",
        log:
            "<logs>/describe_groups.log",
        threads: 1
        resources:
            **needs("describe_groups"),
        params:
            algorithm=ALGORITHM,
            similar_by=similar_by,
        script:
            "../scripts/describe_groups.py"


# The plan writes the row files as well. They are no output: Snakemake compares no params of jobs
# behind a job that has to run, so a rule of their own would hide changed keys, and with one of a
# checkpoint's outputs deleted no batch would run. If one is missing, the plan is made again.
checkpoint plan_batches:
    input:
        unpack(plan_again),
        unpack(group_features),
        unpack(built_genes),
        profile="<results>/dataset/profile.json",
        groups=GROUPS,
        test_groups=TEST_GROUPS,
        features="<results>/features/features.json",
        shards=watched(shards),
    output:
        manifest=report(
            MANIFEST,
            caption="../report/manifest.rst",
            category="Batches",
            labels={"table": "batches"},
        ),
        planned=PLANNED_GROUPS,
        dataset=PLANNED_DATASET,
        memory=PLANNED_NEEDS,
        coverage=report(
            "<results>/batches/coverage.tsv",
            caption="../report/coverage.rst",
            category="Batches",
            labels={"table": "coverage"},
        ),
        times_held="<results>/batches/times_held.tsv",
        usage="<results>/usage/plan_batches/all.json",
    log:
        "<logs>/plan_batches.log",
    threads: 2
    resources:
        **needs("plan_batches"),
        budget_mb=planning_budget,
        batch_threads=config["learner"]["threads"],
    params:
        batching=settings.batching.plain(),
        planning=settings.planning.plain(),
        rows=ROW_FOLDER,
        kept_plan=kept_plan,
    script:
        "../scripts/plan_batches.py"
