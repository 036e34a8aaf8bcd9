# Models judged on groups that nobody trained on.


rule estimate:
    input:
        unpack(held_out_alone),
        ensemble="<results>/ensemble/model.gbm",
        combiners="<results>/ensemble/combiners.json",
        combined="<results>/ensemble/combined.parquet",
        plan=after_the_plan(MANIFEST),
    output:
        table=report(
            "<results>/ensemble/estimate.tsv",
            caption="../report/estimate.rst",
            category="Comparison of candidates",
            labels={"table": "every candidate on training groups"},
        ),
        usage="<results>/usage/estimate/all.json",
    log:
        "<logs>/estimate.log",
    threads: 1
    resources:
        **needs("estimate"),
    params:
        algorithm=ALGORITHM,
        evaluation=settings.evaluation.plain(),
    script:
        "../scripts/estimate.py"


rule evaluate:
    input:
        unpack(alone),
        rows=test_rows,
        model=MODEL,
        ensemble="<results>/ensemble/model.gbm",
        combiners="<results>/ensemble/combiners.json",
    output:
        metrics="<results>/evaluation/metrics.tsv",
        systems=report(
            "<results>/evaluation/systems.tsv",
            caption="../report/systems.rst",
            category="Comparison of candidates",
            labels={"table": "every candidate"},
        ),
        comparison=report(
            "<results>/evaluation/comparison.tsv",
            caption="../report/comparison.rst",
            category="Comparison of candidates",
            labels={"table": "model beside base scores"},
        ),
        corrections="<results>/evaluation/corrections.tsv",
        predictions="<results>/evaluation/predictions.parquet",
        usage="<results>/usage/evaluate/all.json",
    log:
        "<logs>/evaluate.log",
    threads: config["learner"]["threads"]
    resources:
        **needs("evaluate"),
    params:
        key=test_key,
        algorithm=ALGORITHM,
        evaluation=settings.evaluation.plain(),
    script:
        "../scripts/evaluate.py"


rule explain_final:
    input:
        rows=test_rows,
        model=MODEL,
    output:
        shap="<results>/evaluation/shap.parquet",
        importance=report(
            "<results>/evaluation/importance.tsv",
            caption="../report/importance.rst",
            category="What the model looks at",
            labels={"table": "importance of features in the delivered model"},
        ),
        families="<results>/evaluation/families.tsv",
        figure=evaluation_figure("importance", "What the model looks at"),
        usage="<results>/usage/explain_final/all.json",
    log:
        "<logs>/explain_final.log",
    threads: config["learner"]["threads"]
    resources:
        **needs("explain_final"),
    params:
        key=test_key,
        algorithm=ALGORITHM,
        explaining=settings.explain.plain(),
    script:
        "../scripts/explain_final.py"


rule rank_groups:
    input:
        unpack(group_features),
        scores="<results>/ensemble/cross_batch.parquet",
        combined="<results>/ensemble/combined.parquet",
        planned=after_the_plan(PLANNED_GROUPS),
    output:
        ranks="<results>/ensemble/ranks.tsv",
        figure=report(
            "<results>/ensemble/figures/ranks.png",
            caption="../report/ranks.rst",
            category="Data set",
            labels={"figure": "groups to add more of"},
        ),
        usage="<results>/usage/rank_groups/all.json",
    log:
        "<logs>/rank_groups.log",
    threads: 1
    resources:
        **needs("rank_groups"),
    params:
        algorithm=ALGORITHM,
        combiner=settings.ensemble.combiner,
    script:
        "../scripts/rank_groups.py"
