"""Every figure and table of "In-context Learning with Transformer Is Really Equivalent to a
Contrastive Learning Pattern" (Ren & Liu 2023), from config.yaml into results/.

    snakemake --cores 8              everything
    snakemake --cores 8 figure_5     one figure and what it needs
    snakemake --cores 8 ablations    what each decision does that the paper leaves open
    snakemake --cores 8 networks     attention heads of pretrained networks, or of your own
    snakemake --cores 8 multiverse   the claims under combinations of all these decisions
"""

from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/common.smk"


configfile: checked_file("config.yaml")


experiment = checked_experiment(config)
ablations = list_ablations(experiment)
universes = list_universes(experiment)


report: "workflow/report/workflow.rst"


wildcard_constraints:
    setting=any_of(experiment.settings),
    variant=any_of(experiment.variants),
    figure=any_of(experiment.figures),
    ablation=any_of(ablations),
    network=any_of(experiment.networks),
    universe=any_of(universes),
    fresh="(fresh/)?",


measured, compared = experiment.approximation_settings, experiment.family_settings
controlled, trained_longer = experiment.control_settings, experiment.long_settings

# The parts that tables are put together from.
parts = {
    "equivalence": expand("results/equivalence/{cell}.csv", cell=experiment.cells),
    "approximation": expand("results/approximation/{setting}.csv", setting=measured),
    "matrices": expand("results/approximation/{setting}_matrices.csv", setting=measured),
    "attention_errors": expand("results/attention_errors/{setting}.csv", setting=measured),
    "attention_bias": expand("results/attention_errors/{setting}_bias.csv", setting=measured),
    "families": expand("results/families/{setting}.csv", setting=compared),
    "family_closed_forms": expand("results/families/{setting}_closed_forms.csv", setting=compared),
    "controls": expand("results/controls/{setting}.csv", setting=controlled),
    "solutions": expand("results/controls/{setting}_solutions.csv", setting=controlled),
    "training_length": expand("results/training_length/{setting}.csv", setting=trained_longer),
}

# What a run makes. Intermediates are listed too, so that a deleted one is made again.
artifacts = [
    *expand("results/data/{setting}.safetensors", setting=experiment.settings),
    *expand("results/pretrained/{cell}.safetensors", cell=experiment.cells),
    *expand("results/equivalence/{cell}.safetensors", cell=experiment.cells),
    *expand("results/training_length/{setting}.safetensors", setting=trained_longer),
    *(path for paths in parts.values() for path in paths),
    *expand("results/tables/{table}.csv", table=[*experiment.tables, "claims", "effects"]),
    *expand("results/figures/{figure}.{format}", figure=experiment.figures, format=["pdf", "png"]),
]


rule all:
    input:
        artifacts,
        "results/manifest.json",


include: "workflow/rules/data.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/equivalence.smk"
include: "workflow/rules/approximation.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/families.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/training_length.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/ablations.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/multiverse.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/manifest.smk"
include: "workflow/rules/report.smk"
