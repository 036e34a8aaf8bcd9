rule rank_groups:
    input:
        unpack(group_features),
        cross_batch="results/ensemble/cross_batch.parquet",
        combined="results/ensemble/combined.parquet",
    output:
        ranks="results/ensemble/ranks.tsv",
        figure=report(
            "results/ensemble/figures/ranks.png",
            caption="../report/ranks.rst",
            category="Ensemble",
            labels={"figure": "groups to add more of"},
        ),
        usage="results/usage/rank_groups/all.json",
    log:
        "logs/rank_groups.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 1
    resources:
        **needs("rank_groups"),
    params:
        algorithm=ALGORITHM,
        combiner=config["ensemble"]["combiner"],
    script:
        "../scripts/rank_groups.py"
