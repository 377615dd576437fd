"""A Llama is continued by the command line, and its cost follows from shapes."""

from pathlib import Path

import pytest
import tiny

from birdiedna.experiments import export, models, profiles, second_stage
from birdiedna.experiments.runs import open_runs
from birdiedna.model.transformer import count_parameters
from birdiedna.training import run_folder

pytestmark = pytest.mark.usefixtures("own_objectives")


def test_the_cost_of_the_1b_model_follows_from_its_shapes():
    assert count_parameters(second_stage.LLAMA_1B) == 973_146_112 + 2 * 384 * 2048
    table = second_stage.costs(profiles.PROFILES["paper"].pretrain["ntp"], flops=3e14)
    small, large = table.to_dicts()
    assert (small["parameters"], round(large["state GB"], 1)) == (17_175_040, 15.6)
    assert large["GFLOP a token"] == pytest.approx(6.25, abs=0.01)
    tokens = 16_384 * 128 * 1024
    assert large["hours"] == pytest.approx(large["GFLOP a token"] * 1e9 * tokens / 3e14 / 3600)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return second_stage.write_toy(tmp_path_factory.mktemp("llama") / "toy")


def test_the_command_line_continues_a_llama_as_a_run_of_its_own(toy, said, refused):
    out = said("pretrain", "--profile", "tiny", "--arm", "ntp", "--from-llama", toy)
    folder = Path(out.split("run: ")[1].strip())
    config, manifest = (run_folder.read(folder, name) for name in ("config", "manifest"))
    assert (config["model"]["width"], config["model"]["kv_heads"]) == (32, 2)
    assert config["model"]["vocabulary"] == 384 and "-llama-" in folder.name
    assert set(manifest["data"]) == {"genome", "llama"}
    assert manifest["command"].endswith("--from-llama toy")
    assert manifest["data_notes"]["llama"].keys() == {"noise", "AC", "AG", "AT", "CG", "CT", "GT"}
    assert out.index("rows of bases, noise of its new rows: noise 0.5, AC ") < out.index("step 0")
    tuned = open_runs("tiny", model=str(folder)).finetuning("ntp", "promoter_tata")
    assert tuned.data["llama"] == manifest["data"]["llama"]
    model = models.load(folder)
    for one in (model, model._replace(manifest=tuned.manifest())):
        assert "license: other" in (card := export.card(one, "", ())) and "whose licence" in card
    assert "license: apache-2.0" in export.card(model._replace(manifest={}), "", ())
    assert open_runs("tiny").pretraining("ntp").name != folder.name
    assert "has other settings (llama: stored" in refused("pretrain", "--replay", folder)
    again = said("pretrain", "--replay", folder, "--from-llama", toy).split("run: ")[1].strip()
    assert run_folder.read(Path(again), "manifest")["data"] == manifest["data"]


def test_fine_tuning_takes_the_sizes_of_the_llama_and_random_weights_do_not(toy):
    runs = open_runs("tiny", llama=str(toy))
    spec = runs.finetuning("ntp", "promoter_tata")
    assert spec.config.model == runs.pretraining("ntp").config.model != tiny.PROFILE.finetune.model
    assert spec.command().endswith("--from-llama toy")
    with pytest.raises(ValueError, match="random weights continue no Llama"):
        runs.finetuning("random", "promoter_tata")


def test_a_probe_of_a_llama_is_compared_with_random_weights_of_its_sizes(toy, said):
    words = ["--profile", "tiny", "--task", "promoter_tata", "--from-llama", toy]
    made = [Path(line[5:]) for line in said("probe", "ntp", *words).splitlines() if "run: " in line]
    manifests = [run_folder.read(folder, "manifest") for folder in made]
    assert [one["arm"] for one in manifests] == ["ntp", "random"]
    ours, fresh = (run_folder.read(folder, "config")["model"] for folder in made)
    assert ours == fresh and ours["width"] == 32
    assert manifests[1]["command"].endswith("--from-llama toy")


@pytest.mark.promise("Bad input: a Llama that cannot be continued is refused in one line")
def test_a_folder_that_is_no_llama_is_refused_in_one_line(tmp_path, refused):
    error = refused("pretrain", "--profile", "tiny", "--from-llama", tmp_path)
    assert "contains no config.json" in error
