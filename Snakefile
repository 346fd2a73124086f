# Lets `snakemake` run from this folder. The rules are in workflow/Snakefile, the file that other workflows import.
include: "workflow/Snakefile"


workflow.default_target = "all"
