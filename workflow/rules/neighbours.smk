# Base scores and probabilities around annotated sites. Included only where explain.neighbour_sites
# is above 0.

if BUILT:

    rule neighbours_batch:
        input:
            rows=row_file,
            out_of_fold=f"{BATCH_FILES}/out_of_fold.parquet",
            models=f"{BATCH_FILES}/folds.gbm",
            model=f"{BATCH_FILES}/model.gbm",
            fasta=ancient(SEQUENCE["fasta"]),
            genes=ancient(SEQUENCE["genes"]),
            score_files=watched_scores(score_files),
            track_files=ancient(TRACK_FILES),
            table="<results>/table/genes.tsv",
        output:
            windows=f"{BATCH_FILES}/neighbours.parquet",
            usage="<results>/usage/neighbours_batch/{batch}.json",
        log:
            "<logs>/neighbours_batch/{batch}.log",
        threads: config["learner"]["threads"]
        resources:
            **needs("neighbours_batch", SEQUENCE["genes"]),
        params:
            **TRACKS,
            reading=READING,
            fingerprint=given_fingerprint("fasta", "genes", "scores", "tracks"),
            algorithm=ALGORITHM,
            scores=SCORES,
            unscored=UNSCORED,
            use_weights=settings.learner.use_weights,
            neighbours=settings.neighbours.plain(),
        script:
            "../scripts/neighbours_batch.py"


rule neighbours:
    input:
        unpack(neighbour_scores),
        batches=neighbours_of_batches,
        plan=after_the_plan(MANIFEST),
    output:
        table=report(
            "<results>/neighbours/neighbours.tsv",
            caption="../report/neighbours.rst",
            category="Neighbours of sites",
            labels={"table": "scores around annotated sites"},
        ),
        windows="<results>/neighbours/windows.parquet",
        figure=report(
            "<results>/neighbours/neighbours.png",
            caption="../report/neighbours.rst",
            category="Neighbours of sites",
            labels={"figure": "scores around annotated sites"},
        ),
        usage="<results>/usage/neighbours/all.json",
    log:
        "<logs>/neighbours.log",
    threads: 1
    resources:
        **needs("neighbours", *([SEQUENCE["genes"]] if BUILT else [])),
    params:
        reading=READING,
        fingerprint=given_fingerprint("genes") if BUILT else None,
        algorithm=ALGORITHM,
        labels=settings.table.labels.plain(),
        neighbours=settings.neighbours.plain(),
    script:
        "../scripts/neighbours.py"
