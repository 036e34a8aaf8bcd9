rule predict:
    input:
        model=MODEL,
        plan=after_the_plan(MANIFEST),
        shards=ancient(table_shards),
    output:
        predictions="<results>/predictions/{table}.parquet",
        usage="<results>/usage/predict/{table}.json",
    log:
        "<logs>/predict/{table}.log",
    threads: config["learner"]["threads"]
    resources:
        **needs("predict"),
    params:
        fingerprint=table_fingerprint,
        table=lookup(dpath="predict/tables/{table}", within=config),
    script:
        "../scripts/predict.py"
