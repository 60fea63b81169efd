"""Shower models, one file per paper. The table below is what a recipe's `model.kind` may say."""

from __future__ import annotations

from caloforge.models.base import ShowerModel
from caloforge.registry import ConfiguredRegistry

MODELS: ConfiguredRegistry[ShowerModel] = ConfiguredRegistry(
    "model",
    ShowerModel,
    {
        "bib_ae": "caloforge.models.bib_ae.BIBAE",
        "caloclouds": "caloforge.models.caloclouds.CaloClouds",
        "caloflow": "caloforge.models.caloflow.CaloFlow",
        "caloman": "caloforge.models.caloman.CaloMan",
        "cascade": "caloforge.models.cascade.Cascade",
        "epic_flow": "caloforge.models.epic_flow.EPiCFlow",
        "epic_gan": "caloforge.models.epic_gan.EPiCGAN",
        "flow_matching": "caloforge.models.flow_matching.FlowMatching",
        "caloscore": "caloforge.models.caloscore.CaloScore",
        "calogan": "caloforge.models.calogan.CaloGAN",
        "gan": "caloforge.models.gan.GAN",
        "ddpm": "caloforge.models.ddpm.DDPM",
        "consistency_training": "caloforge.models.consistency_training.ConsistencyTraining",
        "ffjord": "caloforge.models.ffjord.FFJORD",
        "l2lflows": "caloforge.models.l2lflows.L2LFlows",
        "mean_flow": "caloforge.models.mean_flow.MeanFlow",
        "realnvp": "caloforge.models.realnvp.RealNVP",
        "vae": "caloforge.models.vae.VAE",
        "wgan_gp": "caloforge.models.wgan_gp.WGANGP",
    },
)
