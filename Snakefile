# The door: the workflow proper is in workflow/, where `snakemake` also looks for it when it is used as a module.
include: "workflow/Snakefile"


workflow.default_target = "all"
