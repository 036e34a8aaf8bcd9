# What a run tells about itself: figures and summary of every batch, the page, the model card.


rule diagnose_batch:
    input:
        out_of_fold=f"{BATCH_FILES}/out_of_fold.parquet",
        folds=f"{BATCH_FILES}/folds.tsv",
        metrics=f"{BATCH_FILES}/metrics.tsv",
        curves=f"{BATCH_FILES}/learning_curves.parquet",
        calibration=f"{BATCH_FILES}/calibration.json",
        shap=f"{BATCH_FILES}/shap.parquet",
        sample=f"{BATCH_FILES}/sample.parquet",
        importance=f"{BATCH_FILES}/importance.tsv",
        families=f"{BATCH_FILES}/families.tsv",
    output:
        roc_figure=batch_figure("roc"),
        pr_figure=batch_figure("pr"),
        calibration_figure=batch_figure("calibration"),
        learning_curves_figure=batch_figure("learning_curves"),
        shap_figure=batch_figure("shap"),
        importance_figure=batch_figure("importance"),
        summary=f"{BATCH_FILES}/summary.json",
        usage="<results>/usage/diagnose_batch/{batch}.json",
    log:
        "<logs>/diagnose_batch/{batch}.log",
    threads: 1
    resources:
        **needs("diagnose_batch"),
    params:
        classes=class_names,
    script:
        "../scripts/diagnose_batch.py"


rule write_report:
    input:
        unpack(track_results),
        unpack(neighbour_results),
        unpack(evidence_use),
        dataset=ancient(PLANNED_DATASET),
        screen="<results>/features/screen.tsv",
        manifest=ancient(MANIFEST),
        coverage=ancient("<results>/batches/coverage.tsv"),
        times_held=ancient("<results>/batches/times_held.tsv"),
        summaries=per_member(f"{BATCH_FILES}/summary.json"),
        families=families_of_batches,
        usage_records=usage_records,
        metrics="<results>/evaluation/metrics.tsv",
        systems="<results>/evaluation/systems.tsv",
        comparison="<results>/evaluation/comparison.tsv",
        corrections="<results>/evaluation/corrections.tsv",
        predictions="<results>/evaluation/predictions.parquet",
        model=MODEL,
        candidates="<results>/model/candidates.tsv",
        estimate="<results>/ensemble/estimate.tsv",
        combiners="<results>/ensemble/combiners.json",
        thresholds="<results>/model/thresholds.tsv",
        importance="<results>/evaluation/importance.tsv",
        final_families="<results>/evaluation/families.tsv",
    output:
        page=report(
            "<results>/report/index.html",
            caption="../report/page.rst",
            category="Report",
            labels={"page": "report"},
        ),
        card="<results>/report/MODEL_CARD.md",
        roc_figure=evaluation_figure("roc"),
        pr_figure=evaluation_figure("pr"),
        calibration_figure=evaluation_figure("calibration", "Calibration"),
        members_figure=evaluation_figure("members"),
        weights_figure=evaluation_figure("weights", "Batches"),
    log:
        "<logs>/write_report.log",
    threads: 1
    resources:
        **needs("write_report"),
    params:
        batch_keys=plan_keys,
        settings=report_config,
    script:
        "../scripts/write_report.py"
