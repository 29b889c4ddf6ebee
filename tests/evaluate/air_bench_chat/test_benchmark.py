"""The benchmark as a runner sees it."""

from air_bench import rows, shown, write_benchmark
from loopback_judge import judging

from desta2.evaluate.air_bench_chat.benchmark import AirBenchChat
from desta2.evaluate.judging.judge import Judge
from desta2.evaluate.judging.opening import open_judge
from desta2.records import Prediction


def predictions(folder):
    data = write_benchmark(folder / "Chat", rows())
    return [
        Prediction.model_validate({"id": asked.id, "response": f"Mine. {asked.id}", **asked.fields})
        for asked in AirBenchChat().questions(data)
    ]


def test_predictions_are_scored_from_themselves_alone(tmp_path):
    answers = predictions(tmp_path)

    def fair(prompt):
        return " ".join("7" if text.startswith("Mine") else "8" for text in shown(prompt))

    with judging(fair) as server, Judge(open_judge(server.url)) as judge:
        benchmark = AirBenchChat(judge)
        scores = benchmark.score(answers)
        assert len(server.bodies) == 32
    assert (scores["average"]["score"]["value"], scores["average"]["win_rate"]["value"]) == (7, 0)
    assert (scores["n"], scores["missing"]) == (16, 0)
    assert benchmark.in_words(scores).splitlines()[5].split()[:2] == ["average", "7.00"]


def test_without_a_judge_predictions_are_counted_and_not_scored(tmp_path):
    benchmark = AirBenchChat()
    scores = benchmark.score(predictions(tmp_path))
    assert (scores["n"], scores["average"], scores["unjudged"]["n"]) == (0, None, 16)
    assert benchmark.in_words(scores) == (
        "16 answers need a judge: desta2 score air-bench-chat PREDICTIONS --judge URL"
    )
