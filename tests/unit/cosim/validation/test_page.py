"""The validation page: what it shows of results made by hand, and that it does not depend on what else is installed."""

import pytest

from cosim.validation.page import SHIPPED_PACKAGES, offline_results, render


def contention(*rows, passed=True):
    """Result of the area in the form of `validate`."""
    return {"area": "contention", "n": len(rows), "metrics": {"n": len(rows)}, "rows": list(rows), "passed": passed}


def case(mode, rel_error):
    return {"name": f"a_{mode}", "mode": mode, "makespan": 2.0, "expected": 2.0, "rel_error": rel_error}


def network(name, **changes):
    """One compared row of the zoo, 2 % off in MACs."""
    row = {
        "table": "zoo", "name": name, "variant": "a|b", "input_shape": "3x8x8", "status": "ok", "reason": "",
        "macs": 1020, "macs_expected": 1000, "macs_rel_error": 0.02, "params": 77, "params_expected": None, "params_rel_error": None,
    }  # fmt: skip
    return row | changes


def onnx_file(name, **changes):
    row = network(name, table="onnx", package="onnx", file=f"folder/{name}.onnx")
    return row | changes


def workloads(*rows, passed=True):
    return {"area": "workloads", "n": len(rows), "metrics": {}, "rows": list(rows), "passed": passed, "skipped_files": []}


def lines(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_summary_gives_the_largest_error_and_the_target_of_each_area():
    text = render({"contention": contention(case("fair", 3e-10), case("none", 2e-10)), "workloads": workloads(network("n"))})
    assert "| [contention](#contention) | 2 | 3e-10 | 1e-09 | yes |" in text
    assert "| [workloads](#workloads) | 1 | 0.02 | 0.005 | yes |" in text


def test_a_missed_target_is_seen():
    text = render({"contention": contention(case("fair", 0.5), passed=False)})
    assert "| [contention](#contention) | 1 | 0.5 | 1e-09 | **no** |" in text


def test_cases_are_counted_by_mode():
    text = render({"contention": contention(case("fair", 1e-10), case("fair", 4e-10), case("none", 0.0))})
    assert lines(text, "| fair") == ["| fair | 2 | 4e-10 |"]
    assert lines(text, "| none") == ["| none | 1 | 0 |"]


@pytest.mark.parametrize("noise", [0.0, 1e-16, 9e-13])
def test_rounding_is_shown_as_none_so_that_platforms_agree(noise):
    assert "| fair | 1 | 0 |" in render({"contention": contention(case("fair", noise))})


def test_a_skipped_case_is_not_counted():
    skipped = {"name": "b", "mode": "fifo", "skipped": "b.json is not there"}
    assert "| fifo | 0 |  |" in render({"contention": contention(skipped)})


def test_a_network_is_shown_with_counts_and_errors_and_an_empty_error_where_nothing_is_expected():
    text = render({"workloads": workloads(network("tiny"))})
    assert "| tiny | a\\|b | 3x8x8 | 1,020 | 0.02 | 77 |  |" in text


def test_a_file_is_shown_without_its_folder():
    text = render({"workloads": workloads(onnx_file("light"))})
    assert lines(text, "| light.onnx") == ["| light.onnx | 1,020 | 0.02 | 77 |  |"]


def test_a_failed_network_is_shown_with_its_reason():
    text = render({"workloads": workloads(network("bad", status="failed", reason="takes no such input"), passed=False)})
    assert "| bad | a\\|b | 3x8x8 | **failed** | takes no such input |  |  |" in text


def test_skipped_networks_are_named_once_by_reason():
    rows = [network(name, status="skipped", reason="not in the zoo") for name in ("swin", "swin", "unet")]
    text = render({"workloads": workloads(network("ok"), *rows)})
    assert "Not compared (not in the zoo): `swin`, `unet`.\n" in text
    assert lines(text, "| swin") == []


def test_an_area_without_a_section_of_its_own_shows_its_metrics():
    result = {"area": "new", "n": 3, "metrics": {"a": {"worst": 0.25}, "n": 3}, "rows": [], "passed": True}
    text = render({"new": result})
    assert "| [new](#new) | 3 |  |  | yes |" in text
    assert "| a.worst | 0.25 |" in text


def test_every_table_has_as_many_cells_in_each_line():
    rows = []
    for line in render(offline_results()).splitlines():
        if line.startswith("|"):
            rows.append(line.replace("\\|", "").count("|"))
        else:
            assert len(set(rows)) <= 1, rows
            rows = []


def test_shipped_results_hold_their_targets_and_need_no_other_package():
    results = offline_results()
    assert {"cim", "contention", "workloads"} <= set(results)
    assert all(result["passed"] for result in results.values())
    files = [row for row in results["workloads"]["rows"] if row["table"] == "onnx"]
    assert files
    assert {row["package"] for row in files} <= SHIPPED_PACKAGES
    assert all(row["status"] == "ok" for row in files)
    assert results["workloads"]["n"] == sum(row["status"] == "ok" for row in results["workloads"]["rows"])


def test_the_text_ends_with_one_newline():
    text = render(offline_results())
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
