"""The verify page in a real Chromium: what one drops is judged there, also with no network."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from pipeline.edges.http_server import PAGE_HEADERS, serve, web_app
from pipeline.web import STATIC
from tests.docs import examples

pytestmark = pytest.mark.needs("browser")


@pytest.fixture
async def page() -> AsyncGenerator[Any]:
    """Open the page in a fresh browser; whatever it logs or asks of others fails the test."""
    from playwright.async_api import async_playwright

    noise: list[str] = []
    async with (
        serve(web_app(lambda _path: None, STATIC), "127.0.0.1", 0) as (host, port),
        async_playwright() as play,
    ):
        browser = await play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = await browser.new_context(locale="en-GB", timezone_id="Asia/Shanghai")
        opened = await context.new_page()
        opened.on("console", lambda message: noise.append(message.text))
        opened.on("pageerror", lambda error: noise.append(str(error)))
        opened.on(
            "request",
            lambda asked: None if asked.url.startswith(f"http://{host}:{port}/") else noise.append(asked.url),
        )
        await opened.goto(f"http://{host}:{port}/")
        await opened.wait_for_function("navigator.serviceWorker.controller || navigator.serviceWorker.ready")
        yield opened
        await browser.close()
    assert noise == []


def files(folder: Path) -> dict[str, str]:
    """Write a proof, a broken one, and whom to trust; returns their paths."""
    proof = examples.point_proof()
    broken = proof.replace(b"urn:dev", b"urn:dew", 1)
    contents = {
        "good.proof": proof,
        "broken.proof": broken,
        "policy.txt": examples.policy_text(),
        "authorities.txt": examples.authorities_text(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: str(folder / name) for name in contents}


async def drop(page: Any, *paths: str) -> None:
    """Give files to the page."""
    await page.set_input_files("#files", list(paths))


async def test_a_proof_waits_for_trust_and_is_then_proven(page: Any, tmp_path: Path) -> None:
    """Without trust nothing is claimed; with it the value, its device and its witness show."""
    paths = files(tmp_path)
    await drop(page, paths["good.proof"])
    await page.wait_for_selector(".result.waiting")
    await drop(page, paths["policy.txt"], paths["authorities.txt"])
    await page.wait_for_selector(".result.valid")
    shown = await page.inner_text(".result")
    assert "Proven" in shown
    assert "Temperature 5 °C" in shown
    assert examples.DEVICE in shown
    assert "1 witness: w" in shown


async def test_a_broken_proof_names_the_step_and_the_reason(page: Any, tmp_path: Path) -> None:
    """What fails is red and says why; what comes after it was not reached."""
    paths = files(tmp_path)
    await drop(page, paths["policy.txt"], paths["authorities.txt"], paths["broken.proof"])
    await page.wait_for_selector(".result.invalid")
    assert await page.inner_text(".result code") == "root_mismatch"
    assert await page.inner_text("li.failed") == "The signed statement is in the block"
    assert await page.locator("li.done").count() == 4
    assert await page.locator("li.unreached").count() == 5


async def test_it_speaks_chinese(page: Any, tmp_path: Path) -> None:
    """One click changes every word, results included; the choice is kept."""
    paths = files(tmp_path)
    await drop(page, *paths.values())
    await page.wait_for_selector(".result.valid")
    await page.click("button[data-language=zh]")
    await page.wait_for_function("document.querySelector('.result.valid .verdict').textContent === '已证明'")
    assert await page.get_attribute("html", "lang") == "zh"
    await page.reload()
    assert await page.inner_text("h1") == "验证证明"


async def test_it_works_with_no_network(page: Any, tmp_path: Path) -> None:
    """Once opened it opens again with no server to ask, and verifies; the trust given before is kept."""
    paths = files(tmp_path)
    await drop(page, paths["policy.txt"], paths["authorities.txt"])
    await page.evaluate("navigator.serviceWorker.ready")
    await page.reload()
    await page.context.set_offline(True)
    await page.reload()
    await page.wait_for_function("document.getElementById('policy').textContent === 'policy.txt'")
    await drop(page, paths["good.proof"])
    await page.wait_for_selector(".result.valid")


async def test_the_page_may_run_nothing_but_its_own(page: Any) -> None:
    """The policy of its content is sent: no inline script runs, no other origin is asked."""
    answer = await page.request.get(page.url)
    assert {name: answer.headers[name] for name in PAGE_HEADERS} == PAGE_HEADERS
    assert "script-src 'self'" in PAGE_HEADERS["content-security-policy"]
    assert "unsafe" not in PAGE_HEADERS["content-security-policy"]


def test_the_worker_keeps_every_file_that_the_page_needs() -> None:
    """A file that is added and not kept would break the page with no network."""
    worker = (STATIC / "worker.js").read_text(encoding="utf-8")
    names = [path.stem for path in (STATIC / "verifier").glob("*.js")]
    assert [name for name in names if f'"{name}"' not in worker] == []
