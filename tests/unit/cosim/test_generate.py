"""Random graphs and chips: the shapes they claim, and equal for equal seeds."""

import numpy as np
import pytest

from cosim.scheduling import generate_graphs as graphs
from cosim.scheduling.generate import random_instance, random_instances

BUILDERS = (*graphs.CLASSIC, *graphs.NETWORKS)


def inputs_of(graph):
    found = [[] for _ in graph.work]
    for u, v, _ in graph.edges:
        found[v].append(u)
    return found


def levels_of(graph):
    levels = []
    for inputs in inputs_of(graph):
        levels.append(1 + max((levels[u] for u in inputs), default=0))
    return levels


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
@pytest.mark.parametrize("n", [2, 9, 40, 120])
def test_a_graph_has_about_the_size_asked_for_and_edges_forward(builder, n):
    for seed in range(3):
        graph = builder(np.random.default_rng(seed), n)
        assert len(graph.work) == len(graph.kind)
        assert len(graph.work) <= 1.5 * n + 60  # a block of a network is never cut
        assert len(graph.work) >= 0.5 * n
        assert all(0 <= u < v < len(graph.work) for u, v, _ in graph.edges)
        assert len({(u, v) for u, v, _ in graph.edges}) == len(graph.edges)
        assert min(graph.work) > 0
        assert all(0 <= kind < graphs.N_KINDS for kind in graph.kind)


def test_four_tiles_of_cholesky_are_4_potrf_6_trsm_6_syrk_4_gemm():
    graph = graphs.cholesky(np.random.default_rng(0), 20)
    count = [graph.kind.count(kind) for kind in (graphs.OTHER, graphs.NORM, graphs.ATTENTION, graphs.MATMUL)]
    assert count == [4, 6, 6, 4]
    assert max(levels_of(graph)) == 3 * 4 - 2  # potrf, trsm, syrk of each column but the last


def test_three_tiles_of_lu_are_3_getrf_6_solves_5_gemm():
    graph = graphs.lu(np.random.default_rng(0), 14)
    assert len(graph.work) == 14
    assert graph.kind.count(graphs.OTHER) == 3
    assert graph.kind.count(graphs.MATMUL) == 4 + 1


def test_a_butterfly_reads_two_and_its_depth_is_the_logarithm_of_its_width():
    graph = graphs.butterfly(np.random.default_rng(0), 32)
    assert len(graph.work) == 8 * 4
    assert sorted({len(inputs) for inputs in inputs_of(graph)}) == [0, 2]
    assert max(levels_of(graph)) == 4


def test_a_tree_has_one_input_or_one_output_at_every_task_but_the_root():
    for seed in range(6):
        graph = graphs.tree(np.random.default_rng(seed), 30)
        assert len(graph.edges) == 29
        outputs = [u for u, _, _ in graph.edges]
        assert len(set(outputs)) == 29 or len({v for _, v, _ in graph.edges}) == 29


def test_a_fork_join_graph_is_one_part_with_one_first_and_one_last_task():
    for seed in range(4):
        graph = graphs.fork_join(np.random.default_rng(seed), 30)
        n = len(graph.work)
        assert [v for v in range(n) if not inputs_of(graph)[v]] == [0]
        assert [u for u in range(n) if u not in {edge[0] for edge in graph.edges}] == [n - 1]


def test_a_merged_graph_is_two_independent_tenants():
    rng = np.random.default_rng(0)
    first, second = graphs.resnet(rng, 12), graphs.transformer(rng, 20)
    n_first, n_edges = len(first.work), len(first.edges) + len(second.edges)
    first.merge(second)
    assert len(first.edges) == n_edges
    assert all((u < n_first) == (v < n_first) for u, v, _ in first.edges)


def test_one_seed_gives_one_list_of_instances():
    first, again, other = random_instances(3, 8), random_instances(3, 8), random_instances(4, 8)
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.cost_s, b.cost_s)
        assert np.array_equal(a.edge_src, b.edge_src)
        assert np.array_equal(a.edge_bytes, b.edge_bytes)
        assert np.array_equal(a.bandwidth_bytes_per_s, b.bandwidth_bytes_per_s)
        assert np.array_equal(a.latency_s, b.latency_s)
    assert any(a.cost_s.shape != c.cost_s.shape or not np.array_equal(a.cost_s, c.cost_s) for a, c in zip(first, other, strict=True))


def test_sizes_are_within_the_limits_asked_for():
    for instance in random_instances(5, 40, (10, 30), (3, 4)):
        assert 3 <= instance.n_devices <= 4
        assert instance.n_tasks <= 1.5 * 30 + 60


def test_an_in_memory_array_runs_matrix_products_only_and_faster_than_the_host():
    seen = 0
    for instance in random_instances(11, 80):
        arrays = [p for p, name in enumerate(instance.device_names) if name.startswith("cim")]
        hosts = [p for p, name in enumerate(instance.device_names) if name.startswith("cpu")]
        for p in arrays:
            able = instance.supported[:, p]
            if not able.any() or able.all():
                continue
            seen += 1
            assert hosts
            assert instance.cost_s[able, p].mean() < instance.cost_s[able][:, hosts].mean()
    assert seen >= 10


def test_half_of_the_instances_are_in_integers_and_some_have_latency_masks_and_uneven_links():
    instances = random_instances(2, 120)
    whole = [np.array_equal(i.edge_bytes, np.rint(i.edge_bytes)) for i in instances]
    assert 0.3 < np.mean(whole) < 0.8
    assert 0.2 < np.mean([(i.latency_s > 0).any() for i in instances]) < 0.8
    assert 0.3 < np.mean([not i.supported.all() for i in instances]) < 0.9
    assert 0.2 < np.mean([np.ptp(i.bandwidth_bytes_per_s) > 0 for i in instances]) < 0.8


def test_transfers_are_between_a_hundredth_and_ten_times_the_costs():
    ratios = []
    for seed in range(60):
        instance = random_instance(np.random.default_rng(seed))
        if instance.n_edges:
            ratios.append(instance.mean_transfer_s.mean() / instance.mean_cost_s.mean())
    assert max(ratios) < 20
    assert np.percentile(ratios, 10) < 0.15
    assert np.percentile(ratios, 90) > 1.5
