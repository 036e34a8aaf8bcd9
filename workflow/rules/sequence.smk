# From sequence and gene models to the table, and from the model to calls. Included only where
# sequence.fasta is set.

if SCORER_KIND == "command":

    rule gene_sequences:
        input:
            unpack(known_origin),
            fasta=ancient(SEQUENCE["fasta"]),
            genes=ancient(SEQUENCE["genes"]),
        output:
            sequences=temp("<results>/scores/genes.fa"),
            usage="<results>/usage/gene_sequences/all.json",
        log:
            "<logs>/gene_sequences.log",
        threads: 1
        resources:
            **needs("gene_sequences", SEQUENCE["genes"]),
        params:
            reading=READING,
            fingerprint=given_fingerprint("fasta", "genes"),
            algorithm=ALGORITHM,
            flank=SEQUENCE["scorer"]["flank"],
        script:
            "../scripts/gene_sequences.py"

    # The program of the user's, in the environment that the config names.
    rule run_scorer:
        input:
            ancient(SEQUENCE["scorer"]["files"]),
            fasta="<results>/scores/genes.fa",
        output:
            scores=temp("<results>/scores/given"),
        log:
            "<logs>/run_scorer.log",
        conda:
            SCORER_ENVIRONMENT
        threads: SEQUENCE["scorer"]["threads"]
        resources:
            mem_mb=SEQUENCE["scorer"]["mem_mb"],
            needs_mb=SEQUENCE["scorer"]["mem_mb"],
        params:
            fingerprint=given_fingerprint("scorer"),
        shell:
            scorer_command(SEQUENCE["scorer"]["command"])

    rule score_genes:
        input:
            fasta=ancient(SEQUENCE["fasta"]),
            genes=ancient(SEQUENCE["genes"]),
            given="<results>/scores/given",
        output:
            scores=MADE_SCORES,
            usage="<results>/usage/score_genes/all.json",
        log:
            "<logs>/score_genes.log",
        threads: 1
        resources:
            **needs("score_genes_command", SEQUENCE["genes"]),
        params:
            reading=READING,
            fingerprint=given_fingerprint("fasta", "genes"),
            algorithm=ALGORITHM,
            scorer=scorer_given,
            unscored=SEQUENCE["unscored"],
        script:
            "../scripts/score_command.py"

elif SCORER_KIND is not None:

    rule score_genes:
        input:
            unpack(known_origin),
            fasta=ancient(SEQUENCE["fasta"]),
            genes=ancient(SEQUENCE["genes"]),
        output:
            scores=MADE_SCORES,
            usage="<results>/usage/score_genes/all.json",
        log:
            "<logs>/score_genes.log",
        threads: config["learner"]["threads"]
        resources:
            **needs(f"score_genes_{SCORER_KIND}", SEQUENCE["genes"]),
        params:
            reading=READING,
            fingerprint=given_fingerprint("fasta", "genes"),
            algorithm=ALGORITHM,
            scorer=SEQUENCE["scorer"],
        script:
            f"../scripts/score_{SCORER_KIND}.py"


rule build_dataset:
    input:
        unpack(known_origin),
        unpack(given_groups),
        unpack(structure_files),
        fasta=ancient(SEQUENCE["fasta"]),
        genes=ancient(SEQUENCE["genes"]),
        score_files=watched_scores(score_files),
        track_files=ancient(TRACK_FILES),
    output:
        **EVIDENCE,
        shards=BUILT_SHARDS,
        table="<results>/table/genes.tsv",
        usage="<results>/usage/build_dataset/all.json",
    log:
        "<logs>/build_dataset.log",
    threads: 1
    resources:
        **needs("build_dataset", SEQUENCE["genes"]),
    params:
        **TRACKS,
        reading=READING,
        fingerprint=given_fingerprint(
            "fasta", "genes", "scores", "groups", "structure", "tracks"
        ),
        algorithm=ALGORITHM,
        scores=SCORES,
        unscored=UNSCORED,
        n_shards=SEQUENCE["n_shards"],
        features=config["features"],
        sampling=config["sampling"],
    script:
        "../scripts/build_dataset.py"


rule call_genes:
    input:
        unpack(wanted_genes),
        fasta=ancient(SEQUENCE["fasta"]),
        genes=ancient(SEQUENCE["genes"]),
        score_files=watched_scores(score_files),
        track_files=ancient(TRACK_FILES),
        model=MODEL,
        plan=after_the_plan(MANIFEST),
    output:
        files=[
            "<results>/calls/{calls}/positions.parquet",
            report(
                "<results>/calls/{calls}/calls.bed",
                caption="../report/calls.rst",
                category="Complete tracks",
                labels={"calls": "{calls}", "file": "calls above the threshold"},
            ),
            "<results>/calls/{calls}/coverage.tsv",
            "<results>/calls/{calls}/calls_ucsc.bed",
            "<results>/calls/{calls}/calls_igv.xml",
            *(f"<results>/calls/{{calls}}/{name}" for name in BIGWIG_NAMES),
            *(f"<results>/calls/{{calls}}/{name}" for name in TRANSCRIPT_NAMES),
            *(f"<results>/calls/{{calls}}/{name}" for name in COMPRESSED_NAMES),
            *(f"<results>/calls/{{calls}}/{name}" for name in HUB_NAMES),
        ],
        usage="<results>/usage/call_genes/{calls}.json",
    log:
        "<logs>/call_genes/{calls}.log",
    threads: config["learner"]["threads"]
    resources:
        **needs("call_genes", SEQUENCE["genes"]),
    params:
        **TRACKS,
        fingerprint=given_fingerprint("fasta", "genes", "scores", "wanted", "tracks"),
        algorithm=ALGORITHM,
        scores=SCORES,
        unscored=UNSCORED,
        biotypes=SEQUENCE["biotypes"],
        max_refused=SEQUENCE["max_refused"],
        call=call_config,
    script:
        "../scripts/call_genes.py"


rule evaluate_tracks:
    input:
        positions="<results>/calls/test/positions.parquet",
        genes=ancient(SEQUENCE["genes"]),
        table="<results>/table/genes.tsv",
        model=MODEL,
        plan=after_the_plan(MANIFEST),
        test_groups="<results>/dataset/test_groups.tsv",
    output:
        comparison=report(
            "<results>/tracks/comparison.tsv",
            caption="../report/tracks.rst",
            category="Complete tracks",
            labels={"table": "complete tracks beside base scores"},
        ),
        corrections="<results>/tracks/corrections.tsv",
        curves="<results>/tracks/curves.tsv",
        hybrid="<results>/tracks/hybrid.tsv",
        tiers="<results>/tracks/tiers.tsv",
        examples="<results>/tracks/examples.json",
        summary="<results>/tracks/summary.json",
        figure=report(
            "<results>/tracks/pr.png",
            caption="../report/evaluation_figure.rst",
            category="Complete tracks",
            labels={"figure": "precision and recall on complete tracks"},
        ),
        usage="<results>/usage/evaluate_tracks/all.json",
    log:
        "<logs>/evaluate_tracks.log",
    threads: 1
    resources:
        **needs("evaluate_tracks", SEQUENCE["genes"]),
    params:
        reading=READING,
        fingerprint=given_fingerprint("genes"),
        algorithm=ALGORITHM,
        evaluation=config["evaluation"],
    script:
        "../scripts/evaluate_tracks.py"
