# The front door; the workflow itself is in workflow/Snakefile.
include: "workflow/Snakefile"


# An include does not pass on its default target.
rule default:
    default_target: True
    input:
        rules.all.input,
