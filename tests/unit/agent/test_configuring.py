"""The configuration that runs, and others that are refused or take its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from netdevice_plugin.agent.configuring import Configuration
from netdevice_plugin.agent.settings import Settings
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.model import Registration
from netdevice_plugin.operations.metrics import Metrics

ONE = "pools:\n- {name: one, selectors: [{ifNames: [eth1]}]}\n"
TWO = "pools:\n- {name: two, selectors: [{ifNames: [eth1]}]}\n"


class Followed:
    """A configuration that is followed, and the news of it one by one."""

    def __init__(self, settings: Settings) -> None:
        self.configuration = Configuration(settings)
        self.metrics = Metrics(Path("/nonexistent"))
        self.news: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()

    def tell(self) -> None:
        self.news.put_nowait(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(pool.name for pool in self.configuration.current.pools)

    def counted(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "netdevice_plugin_config_reloads_total", {"outcome": outcome}
        )

    def well(self) -> float | None:
        return self.metrics.registry.get_sample_value(
            "netdevice_plugin_config_last_reload_successful"
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        """Have it look until something holds that nobody is told of."""
        async with asyncio.timeout(10):
            while not holds():
                self.configuration.reload()
                await asyncio.sleep(0.01)


def follow(settings: Settings, play: Callable[[Followed], Awaitable[None]]) -> None:
    async def run() -> None:
        here = Followed(settings)
        following = asyncio.ensure_future(here.configuration.follow(here.metrics, here.tell))
        try:
            async with asyncio.timeout(20):
                await play(here)
        finally:
            following.cancel()
            await asyncio.wait([following])

    asyncio.run(run())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(ONE)
    return path


def replace(file: Path, text: str) -> None:
    new = file.with_name(".new")
    new.write_text(text)
    new.rename(file)


def test_the_command_line_has_its_way(file: Path) -> None:
    file.write_text(ONE + "runDir: /a\nkubeletDir: /b\ncdiDir: /c\n")
    settings = Settings(config_file=file, run_dir=Path("/x"), kubelet_dir=Path("/y"))
    current = Configuration(settings).current
    assert current.run_dir == Path("/x")
    assert current.kubelet_dir == Path("/y")
    assert current.cdi_dir == Path("/c")


def test_without_a_file_the_names_are_the_pool() -> None:
    (pool,) = Configuration(Settings(interfaces=("eth1",))).current.pools
    assert pool.name == "netdevice"


@pytest.mark.parametrize("text", ["", "pools: 1", "\0", "pools: [}"])
def test_one_that_is_not_valid_is_an_error_at_the_start(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        Configuration(Settings(config_file=file))


def test_a_new_one_is_taken_at_once(file: Path) -> None:
    async def play(here: Followed) -> None:
        assert here.names == ("one",)
        before = here.configuration.digest
        await here.until(lambda: here.counted("applied") == 1)
        replace(file, TWO)
        assert await here.news.get() == ("two",)
        assert here.counted("applied") == 2
        assert here.configuration.digest != before

    follow(Settings(config_file=file), play)


def test_one_that_is_not_valid_changes_nothing_and_is_counted_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(here: Followed) -> None:
        before = here.configuration.digest
        replace(file, "pools: 1")
        await here.until(lambda: here.counted("refused") == 1)
        (file.parent / "noise").touch()
        replace(file, "pools: 1")
        replace(file, "pools: 2")
        await here.until(lambda: here.counted("refused") == 2)
        assert here.names == ("one",)
        assert here.configuration.digest == before
        assert here.well() == 0
        replace(file, ONE)  # what runs already
        assert await here.news.get() == ("one",)
        assert here.well() == 1

    with caplog.at_level(logging.ERROR):
        follow(Settings(config_file=file), play)
    assert len([one for one in caplog.records if "refused" in one.message]) == 2


def test_one_that_is_the_same_is_no_news(file: Path) -> None:
    async def play(here: Followed) -> None:
        replace(file, ONE)
        replace(file, TWO)
        assert await here.news.get() == ("two",)
        assert here.news.empty()

    follow(Settings(config_file=file), play)


def test_what_the_agent_cannot_change_any_more_stays(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(here: Followed) -> None:
        before = here.configuration.current
        late = "runDir: /a\nkubeletDir: /b\ncdiDir: /c\nregistration: plugins_registry\n"
        replace(file, f"{TWO}{late}hookTimeout: 7\n")
        assert await here.news.get() == ("two",)
        now = here.configuration.current
        for key in ("run_dir", "kubelet_dir", "cdi_dir", "registration"):
            assert getattr(now, key) == getattr(before, key)
        assert now.registration is Registration.SOCKET
        assert now.hook_timeout == 7

    with caplog.at_level(logging.WARNING):
        follow(Settings(config_file=file), play)
    (line,) = (one for one in caplog.records if "next start" in one.message)
    assert line.__dict__["keys"] == "cdiDir, runDir, kubeletDir, registration"


def test_a_configmap_is_swapped_by_a_link(tmp_path: Path) -> None:
    for name, text in (("..one", ONE), ("..two", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")

    async def play(here: Followed) -> None:
        assert here.names == ("one",)
        await here.until(lambda: here.counted("applied") == 1)
        (tmp_path / "..data_tmp").symlink_to("..two")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        assert await here.news.get() == ("two",)

    follow(Settings(config_file=tmp_path / "config.yaml"), play)


def test_a_driver_cannot_be_renamed_while_it_runs(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pools = "pools:\n- name: {}\n  frontend: {}\n  selectors: [{{ifNames: [eth1]}}]\n"
    replace(file, pools.format("one", "dra"))

    async def play(here: Followed) -> None:
        for prefix, frontend in (("a.example", "dra"), ("b.example", "device-plugin")):
            replace(file, f"prefix: {prefix}\n" + pools.format("two", frontend))
            await here.news.get()
        replace(file, "prefix: c.example\n" + pools.format("three", "device-plugin"))
        await here.news.get()

    follow(Settings(config_file=file), play)
    late = [one for one in caplog.records if one.message == "Takes effect at the next start only"]
    assert [one.__dict__["keys"] for one in late] == ["prefix, where it is a driver's name"] * 2
