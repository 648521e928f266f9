"""`make check-infra` finds what it promises to find: each mistake is made in a copy, and must be named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.checks import commands, functions, permissions, schemas, terraform_rules
from infra.checks.__main__ import CHECKS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_is_wrong_with_what_would_be_deployed(name: str) -> None:
    assert CHECKS[name]() == []


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Changes a text in a copy of what is deployed, which the checks read from then on."""
    for folder in ("infra", "functions"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*ROOT.glob("cloudbuild*.yaml"), ROOT / "firebase.json", ROOT / "Makefile"):
        shutil.copy(file, tmp_path)
    for folder in ("core", "connector"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    terraform = tmp_path / "infra" / "terraform"
    for module in (terraform_rules, permissions, functions):
        monkeypatch.setattr(module, "TERRAFORM", terraform)
    for module in (permissions, functions, schemas):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(permissions, "TABLE", tmp_path / "infra" / "permissions.toml")
    monkeypatch.setattr(permissions, "FUNCTIONS", tmp_path / "infra" / "functions.json")
    monkeypatch.setattr(functions, "TABLE", tmp_path / "infra" / "functions.json")

    def apply(path: str, old: str, new: str) -> None:
        file = tmp_path / path
        text = file.read_text()
        assert old in text, f"{path} has no {old}"
        file.write_text(text.replace(old, new, 1))

    return apply


TF = "infra/terraform"


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("main.tf", "var.firestore_location", "var.firestore_place", "var.firestore_place is used and not declared"),
        ("main.tf", "var.open_sign_up", "true", "var.open_sign_up is declared and not used"),
        ("main.tf", "local.connectors", "local.connector", "local.connector is used and not declared"),
        ("main.tf", "module.data.webhook_key", "module.data.webhooks_key", "module.data has no output webhooks_key"),
        ("main.tf", "  session_key    = module.data.session_key\n", "", "module access: session_key is missing"),
        (
            "main.tf",
            "  regions = var.regions\n",
            "  regions = var.regions\n  size = 1\n",
            "size is not a variable of it",
        ),
        ("modules/connector/main.tf", "service_account = var", "account = var", "there is no argument account"),
        ("modules/connector/main.tf", "egress = ", "egres = ", "there is no argument egres"),
        ("modules/connector/main.tf", "template[0].revision", "template[0].revison", "template[0].revison"),
        ("modules/network/main.tf", 'name   = "keepline-egress-${each.value}"\n', "", "name is missing"),
        ("modules/network/main.tf", "google_compute_router.egress[", "google_compute_router.exit[", "is not declared"),
        ("modules/functions/topics.tf", "topic[each.key].id\n", "topic[each.key].link\n", "has no link"),
        ("modules/functions/topics.tf", "retry_policy {", "retry_policy = {", "retry_policy is a block"),
        ("modules/data/keys.tf", "prevent_destroy = true", "prevent_destroy = false", "has no prevent_destroy"),
        ("terraform.tfvars.example", "# profile ", "# pace    ", "does not name profile"),
    ],
)
def test_a_mistake_in_terraform_is_named(
    change: Callable[[str, str, str], None], path: str, old: str, new: str, said: str
) -> None:
    change(f"{TF}/{path}", old, new)
    assert any(said in problem for problem in terraform_rules.problems())


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        # The code calls what the table does not have.
        (
            "infra/permissions.toml",
            'decrypt = ["cloudkms.cryptoKeyVersions.useToDecrypt"]',
            "",
            "does not have decrypt, which",
        ),
        ("infra/permissions.toml", "topic_path = []", "topic_path = []\npull = []", "has pull, which nobody calls"),
        (
            "infra/permissions.toml",
            '"core/src/keepline/adapters/kms_keys.py"',
            '"core/x.py"',
            "which uses a Google client",
        ),
        # What the code needs is not given.
        (
            f"{TF}/modules/access/main.tf",
            'role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"',
            'role          = "roles/cloudkms.cryptoKeyEncrypter"',
            "connector needs cloudkms.cryptoKeyVersions.useToDecrypt on key sessions",
        ),
        (
            f"{TF}/modules/access/main.tf",
            'toset(["functions", "watch", "connector"])',
            'toset(["functions", "watch"])',
            "connector needs datastore.entities.get on project",
        ),
        # What is given is not needed.
        (
            f"{TF}/modules/access/main.tf",
            'for_each = toset(["functions", "connector"])',
            'for_each = toset(["functions", "connector", "watch"])',
            "gives watch roles/storage.objectUser on bucket media, and nothing needs it",
        ),
        (
            f"{TF}/modules/access/main.tf",
            '"roles/datastore.user"',
            '"roles/datastore.owner"',
            "roles/datastore.owner on project, and nothing needs it",
        ),
        ("infra/permissions.toml", '"roles/run.invoker"', '"roles/run.admin"', "infra/terraform does not give it"),
    ],
)
def test_a_permission_too_few_or_too_many_is_named(
    change: Callable[[str, str, str], None], path: str, old: str, new: str, said: str
) -> None:
    change(path, old, new)
    assert any(said in problem for problem in permissions.problems())


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("functions/main.py", "def on_minute(", "def on_every_minute(", "does not deploy on_every_minute"),
        ("functions/main.py", "def on_minute(", "def on_every_minute(", "deploys on_minute, which"),
        ("infra/functions.json", '"timeout_s": 180', '"timeout": 180', "does not know deploy.timeout"),
        ("infra/functions.json", '"timeout_s": 180', '"timeout_s": 900', "may take 540 s at most"),
        ("infra/functions.json", '"timeout_s": 180', '"service_account": "minute"', "there is no account minute"),
        ("infra/functions.json", '"type": "schedule"', '"type": "clock"', "is not one that Terraform makes"),
        ("firebase.json", '"functionId": "api"', '"functionId": "apis"', "is no function of HTTP"),
        (f"{TF}/main.tf", "KEEPLINE_PROFILE ", "KEEPLINE_PACE    ", "KEEPLINE_PACE, which the code does not read"),
    ],
)
def test_a_function_that_does_not_fit_is_named(
    change: Callable[[str, str, str], None], path: str, old: str, new: str, said: str
) -> None:
    change(path, old, new)
    assert any(said in problem for problem in functions.problems())


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("firebase.json", '"rewrites"', '"rewrite"', "firebase.json"),
        ("cloudbuild.yaml", "\nsteps:\n", "\ntime_limit: 1s\nsteps:\n", "there is no time_limit"),
        ("cloudbuild.yaml", "  - id: push-connector\n", "  - identity: push\n", "identity"),
        ("cloudbuild.yaml", "waitFor: [push-connector]", "waitFor: [push]", "is no step before it"),
        ("cloudbuild.yaml", "  _REPOSITORY: keepline\n", "", "_REPOSITORY is used and not among"),
    ],
)
def test_a_file_that_its_reader_would_refuse_is_named(
    change: Callable[[str, str, str], None], path: str, old: str, new: str, said: str
) -> None:
    change(path, old, new)
    assert any(said in problem for problem in schemas.problems())


@pytest.mark.parametrize(
    "command",
    [
        "make chaos-everything",
        'make bench-api LOAD="--users 5"',
        "python -m keepline_connector.keyfile create x",
        "python -m keepline_connector.key_file create x --force",
        "scripts/setup",
        "scripts/dev/bootstrap --lock",
        'curl -sS "$API/api/session/create" -d x',
        'curl -sS "$API/api/sessions/create"',
        "NUMBER=$(crul -sS x)",
        "keepline start",
        "make up | jqq .",
    ],
)
def test_a_command_that_does_not_exist_is_named(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(f"# A page\n\n```sh\n{command}\n```\n")
    monkeypatch.setattr(commands, "documents", lambda: [page])
    monkeypatch.setattr(Path, "relative_to", lambda self, _: self)
    assert len(commands.problems()) == 1


@pytest.mark.parametrize(
    "command",
    [
        "make demo",
        "make test-unit",
        'make chaos CHAOS="--repeat 2"',
        "python -m keepline_connector.key_file create x",
        "python -m keepline_connector drain connector-2",
        "scripts/bootstrap --lock",
        'curl -sS "$API/api/sessions/create" -d x',
        'curl -sS "$API/api/sessions/$ID/status" | python3 -m json.tool',
        "curl -X DELETE http://127.0.0.1:8080/api/sessions/x",
        "NUMBER=$(curl -sS x)",
    ],
)
def test_a_command_that_exists_is_let_through(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```bash\n{command}\n```\n")
    monkeypatch.setattr(commands, "documents", lambda: [page])
    monkeypatch.setattr(Path, "relative_to", lambda self, _: self)
    assert commands.problems() == []


def test_a_block_that_is_not_bash_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\nif make demo\n```\n")
    monkeypatch.setattr(commands, "documents", lambda: [page])
    monkeypatch.setattr(Path, "relative_to", lambda self, _: self)
    assert "not bash" in commands.problems()[0]
