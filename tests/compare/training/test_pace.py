"""How many threads are taken, on machines whose speed is written down here."""

import pytest
import torch

from leakyrelu._compare.training.pace import Pace


@pytest.fixture(autouse=True)
def threads_of_pytorch():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Machine:
    """One whose step takes as many seconds as a function of the threads says."""

    def __init__(self, most, seconds):
        torch.set_num_threads(most)
        self.pace, self.seconds, self.used = Pace(), seconds, []

    def train(self, steps):
        for _ in range(steps):
            self.used.append(torch.get_num_threads())
            self.pace.took(self.seconds(self.used[-1]))

    def share(self, threads, of_the_last):
        return self.used[-of_the_last:].count(threads) / of_the_last


def quiet(threads):
    return 1 / threads


def busy(threads):
    return 1.2 if threads == 1 else 100.0


def test_all_threads_where_they_help():
    machine = Machine(4, quiet)
    machine.train(1000)
    assert machine.share(4, 1000) > 0.97
    assert set(machine.used) == {4, 2}


def test_one_thread_where_others_keep_the_cores_busy():
    machine = Machine(2, busy)
    machine.train(2000)
    assert machine.share(1, 1900) > 0.99
    assert sum(map(busy, machine.used)) < 2 * 2000 * busy(1)


def test_load_that_comes_is_noticed_in_a_few_steps():
    machine = Machine(2, quiet)
    machine.train(1000)
    machine.seconds = busy
    machine.train(10)
    assert machine.used[-1] == 1


def test_all_threads_again_when_load_has_gone():
    machine = Machine(2, busy)
    machine.train(300)
    machine.seconds = quiet
    machine.train(2100)
    assert machine.share(2, 1000) > 0.97


def test_the_best_number_is_found_in_between():
    machine = Machine(16, lambda threads: {16: 3.0, 8: 2.0, 4: 1.0, 2: 1.5, 1: 3.0}[threads])
    machine.train(2000)
    assert machine.share(4, 1500) > 0.97


def test_a_single_slow_step_changes_nothing():
    machine = Machine(2, quiet)
    machine.train(100)
    machine.seconds = lambda threads: 100.0
    machine.train(1)
    machine.seconds = quiet
    before = len(machine.used)
    machine.train(5)
    assert machine.used[before:] == [2] * 5


def test_slower_steps_of_another_batch_are_no_load():
    machine = Machine(2, quiet)
    machine.train(1000)
    machine.pace.begin()
    machine.seconds = lambda threads: 50 / threads
    machine.train(12)
    assert machine.share(2, 12) == 1


def test_one_thread_stays_one():
    machine = Machine(1, busy)
    machine.train(100)
    assert set(machine.used) == {1}


def test_threads_are_as_before_in_the_end():
    torch.set_num_threads(2)
    pace = Pace()
    with pace.kept():
        for _ in range(50):
            pace.took(busy(torch.get_num_threads()))
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
