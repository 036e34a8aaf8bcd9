rule write_report:
    input:
        profile="results/dataset/profile.json",
        screen="results/features/screen.tsv",
        manifest=ancient("results/batches/manifest.tsv"),
        summaries=per_batch(f"{BATCH_FILES}/summary.json"),
        usage=usage_records,
        metrics="results/evaluation/metrics.tsv",
        comparison="results/evaluation/comparison.tsv",
        corrections="results/evaluation/corrections.tsv",
        predictions="results/evaluation/predictions.parquet",
        model="results/model/model_multiclass_all_genes.gbm",
    output:
        page=report(
            "results/report/index.html",
            caption="../report/page.rst",
            category="Report",
            labels={"page": "report"},
        ),
        card="results/report/MODEL_CARD.md",
        roc=evaluation_figure("roc"),
        pr=evaluation_figure("pr"),
        calibration=evaluation_figure("calibration"),
        members=evaluation_figure("members"),
    log:
        "logs/write_report.log",
    conda:
        "../../envs/genebatch.yaml"
    threads: 1
    resources:
        mem_mb=whole_memory("write_report"),
        needs_mb=whole_memory("write_report"),
    params:
        plan=plan_keys,
        config=report_config,
    script:
        "../scripts/write_report.py"
