"""The page in a real Chromium: by keyboard alone, on a phone's width, in the light and in the dark."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from stage import TOKEN, Memory, get, now, picture, playing, stage, until

from edge_reid.web.board import Board, CameraNow
from edge_reid.web.server import Server, serve

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="chromium and chromedriver are not installed")

OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --window-size=1280,900"
)

Page = tuple["webdriver.Chrome", Server, Board, Memory]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium: webdriver.Chrome) -> Iterator[Page]:
    """The page of a running app, opened by its link."""
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    with stage(token=None) as (server, board, desk), playing(board):
        chromium.get(server.url)
        assert until(lambda: "Running" in text(chromium, "health"))
        yield chromium, server, board, desk
        chromium.get("about:blank")


def text(chromium: webdriver.Chrome, name: str) -> str:
    return chromium.execute_script("return document.getElementById(arguments[0]).innerText", name)


def press(chromium: webdriver.Chrome, *keys: str) -> None:
    ActionChains(chromium).send_keys(*keys).perform()


def focused(chromium: webdriver.Chrome) -> str:
    """The accessible name of what has the focus."""
    return chromium.execute_script(
        "const it = document.activeElement;"
        "return it.getAttribute('aria-label') ?? it.labels?.[0]?.innerText ?? it.innerText"
    )


def tab_to(chromium: webdriver.Chrome, name: str) -> None:
    for _ in range(80):
        if focused(chromium) == name:
            return
        press(chromium, Keys.TAB)
    pytest.fail(f"no key leads to {name}")


def test_the_link_opens_the_page_and_leaves_no_token_behind(page: Page) -> None:
    chromium, server, _, _ = page
    token = server.url.partition("#")[2]
    assert token not in chromium.current_url
    assert token not in chromium.page_source
    assert (
        chromium.execute_script("return document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"
    )
    assert text(chromium, "present").splitlines()[:2] == ["3", "Anna Lindqvist"]
    assert "visible · thermal · for 3\u00a0min" in text(chromium, "present"), "numbers of tracks are on no picture"
    assert "<b>Mallory</b>" in text(chromium, "people")
    log = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    requests = [entry["params"] for entry in log if entry["method"] == "Network.requestWillBeSent"]
    asked = {it["request"]["url"] for it in requests if it["documentURL"].startswith("http")}
    assert any("/live.jpg" in url for url in asked)
    assert all(url.startswith(server.url.partition("#")[0]) for url in asked), "nothing is asked of anyone else"
    troubles = [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    assert not troubles


def test_the_live_picture_moves_and_can_be_paused(page: Page) -> None:
    chromium, _, board, _ = page
    shown = "return [...document.querySelectorAll('canvas')].map((it) => it.toDataURL())"
    assert until(lambda: len(set(chromium.execute_script(shown))) == 2)
    first = chromium.execute_script(shown)
    assert until(lambda: chromium.execute_script(shown)[0] != first[0])
    assert board.watched
    tab_to(chromium, "Pause")
    press(chromium, Keys.ENTER)
    assert until(lambda: not board.watched)
    assert focused(chromium) == "Resume"


def test_someone_is_enrolled_found_and_forgotten_by_keyboard_alone(page: Page) -> None:
    chromium, _, _, desk = page
    tab_to(chromium, "Enrol unknown, track 15 in visible, track 11 in thermal")
    press(chromium, Keys.ENTER)
    assert until(lambda: focused(chromium) == "Name")
    press(chromium, "Zoë Ångström", Keys.ENTER)
    assert until(lambda: any(person.name == "Zoë Ångström" for person in desk.known.values()))
    assert until(lambda: "Zoë Ångström is enrolled." in text(chromium, "toast"))

    tab_to(chromium, "Search by name or number")
    press(chromium, "angstrom")
    assert until(lambda: text(chromium, "people-note") == "1 of 13 fit.")
    tab_to(chromium, "Forget Zoë Ångström")
    press(chromium, Keys.ENTER)
    assert until(lambda: focused(chromium) == "Cancel")
    assert "Forget Zoë Ångström?" in text(chromium, "forgetting")
    press(chromium, Keys.ESCAPE)
    assert until(lambda: focused(chromium) == "Forget Zoë Ångström")
    assert len(desk.known) == 13, "who hesitates has forgotten nobody"
    press(chromium, Keys.ENTER)
    assert until(lambda: focused(chromium) == "Cancel")
    press(chromium, Keys.TAB, Keys.ENTER)
    assert until(lambda: len(desk.known) == 12)
    assert until(lambda: text(chromium, "people-note") == "Nobody fits the search.")
    assert "is forgotten" in text(chromium, "toast")
    assert focused(chromium) == "Search by name or number"


def test_the_history_of_one_person_is_a_key_away(page: Page) -> None:
    chromium, *_ = page
    assert until(lambda: "Bo" in text(chromium, "visits"))
    tab_to(chromium, "History of Anna Lindqvist")
    press(chromium, Keys.ENTER)
    assert until(lambda: text(chromium, "history-title") == "History of Anna Lindqvist")
    assert until(lambda: "Bo" not in text(chromium, "visits"))
    assert "Thermal" in text(chromium, "visits")
    tab_to(chromium, "Show everyone")
    press(chromium, Keys.ENTER)
    assert until(lambda: "Bo" in text(chromium, "visits"))


def test_the_focus_stays_while_the_lists_change(page: Page) -> None:
    chromium, *_ = page
    tab_to(chromium, "Name person 7")
    time.sleep(1.5)  # three states later
    assert focused(chromium) == "Name person 7"


def test_a_refusal_of_the_app_is_told(page: Page) -> None:
    chromium, _, _, desk = page
    desk.known.pop(3)
    tab_to(chromium, "Rename Anna Lindqvist")
    press(chromium, Keys.ENTER)
    assert until(lambda: focused(chromium) == "Name")
    press(chromium, Keys.ENTER)
    assert until(lambda: text(chromium, "toast") == "Nobody has this number any more")


OVERFLOWING = """
return [...document.querySelectorAll('body *')].filter((it) => {
  const box = it.getBoundingClientRect();
  const meant = it.closest('.sr-only, .skip, .scroll, thead');
  return box.width && !meant && (box.right > arguments[0] + 0.5 || box.left < -0.5);
}).map((it) => it.outerHTML.slice(0, 80))
  .concat(document.documentElement.scrollWidth > arguments[0] ? ['the page'] : [])
"""

CONTRASTS = """
const parts = (color) => color.match(/[\\d.]+/g).map(Number);
const light = ([red, green, blue]) => [red, green, blue].map((it) => it / 255)
  .map((it) => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
  .reduce((sum, it, index) => sum + it * [0.2126, 0.7152, 0.0722][index], 0);
const ground = (node) => {
  for (; node; node = node.parentElement) {
    const color = parts(getComputedStyle(node).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest('template, script')) continue;
  const [one, two] = [light(parts(getComputedStyle(node).color)), light(ground(node))].sort((a, b) => b - a);
  found.push([(one + 0.05) / (two + 0.05), walker.currentNode.data.trim()]);
}
return found.sort((one, two) => one[0] - two[0]);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_fits_and_is_readable_from_a_phone_to_a_wall(scheme: str, page: Page, tmp_path: Path) -> None:
    chromium, *_ = page
    feature = {"name": "prefers-color-scheme", "value": scheme}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    for width in (360, 768, 1280, 1920):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        time.sleep(0.2)
        assert chromium.execute_script(OVERFLOWING, width) == []
    contrasts = chromium.execute_script(CONTRASTS)
    assert len(contrasts) > 100
    assert contrasts[0][0] >= 4.5, contrasts[:5]
    small = chromium.execute_script(
        "return [...document.querySelectorAll('button, input:not(.sr-only), select')]"
        ".filter((it) => it.checkVisibility()).map((it) => it.getBoundingClientRect().height)"
    )
    assert min(small) >= 44
    shot = tmp_path / "page.png"
    chromium.save_screenshot(str(shot))
    image = cv2.imread(str(shot), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    assert (np.median(image) > 200) == (scheme == "light")


def test_who_has_no_token_is_asked_for_one(chromium: webdriver.Chrome) -> None:
    with stage() as (server, board, _):
        board.publish(now(), picture(0))
        chromium.get(server.url)
        assert until(lambda: focused(chromium) == "Token")
        press(chromium, "a wrong token", Keys.ENTER)
        assert until(lambda: text(chromium, "refused") == "The token is wrong")
        chromium.execute_script("document.getElementById('token').value = ''")
        press(chromium, TOKEN, Keys.ENTER)
        assert until(lambda: text(chromium, "health") == "Running")
        copied = {cookie["name"]: cookie["value"] for cookie in chromium.get_cookies()}
        assert get(server.url + "api/people", cookies=copied).status_code == 200
        first = chromium.current_window_handle
        chromium.switch_to.new_window("tab")
        chromium.get(server.url)
        assert until(lambda: text(chromium, "health") == "Running")
        tab_to(chromium, "Sign out")
        press(chromium, Keys.ENTER)
        assert until(lambda: text(chromium, "health") == "Signed out")
        assert get(server.url + "api/people", cookies=copied).status_code == 401
        chromium.close()
        chromium.switch_to.window(first)
        assert until(lambda: text(chromium, "health") == "Signed out"), "in every tab"
        assert not chromium.find_element(By.ID, "content").is_displayed()
        chromium.refresh()
        assert until(lambda: focused(chromium) == "Token")
        chromium.get("about:blank")


def test_trouble_is_shown_and_the_page_comes_back_by_itself(chromium: webdriver.Chrome) -> None:
    board, desk = Board(), Memory()
    server = serve(board, desk, "127.0.0.1", 0, TOKEN)
    try:
        broken = {"visible": CameraNow("a", "up"), "thermal": CameraNow("b", "stalled", problem="no picture for 4 s")}
        board.publish(now(cameras=broken))
        chromium.get(f"{server.url}#{TOKEN}")
        assert until(lambda: text(chromium, "health") == "Thermal: stalled")
        assert "no picture for 4 s" in text(chromium, "cameras")
        board.publish(now())
        assert until(lambda: text(chromium, "health") == "Running")
        assert "Thermal camera: up." in chromium.execute_script("return document.getElementById('news').textContent")
        port = int(server.url.rstrip("/").rpartition(":")[2])
        server.close()
        assert until(lambda: text(chromium, "health") == "Connection lost, trying again")
        tab_to(chromium, "Sign out")
        press(chromium, Keys.ENTER)
        assert until(lambda: text(chromium, "toast") == "The app does not answer.")
        assert chromium.find_element(By.ID, "content").is_displayed(), "nobody is told to be signed out who is not"
        board = Board()
        server = serve(board, desk, "127.0.0.1", port, TOKEN)
        board.publish(now())
        assert until(lambda: text(chromium, "health") == "Running")
    finally:
        server.close()
        chromium.get("about:blank")


def test_who_is_here_is_here_in_the_list_of_people_too(page: Page) -> None:
    chromium, _, _, _ = page

    def seen(person: int) -> str:
        rows = chromium.execute_script("return [...document.querySelectorAll('#people li')].map((it) => it.innerText)")
        return next(row for row in rows if row.split()[0] == str(person))

    assert until(lambda: "Here now" in seen(3) and "Here now" in seen(7)), "though last seen half an hour ago"
    assert "Seen" in seen(1) and "Here now" not in seen(1)
