"""Compares an Autobahn report with the committed expectation.

Usage: compare.py quick|full|accept REPORT EXPECTED

EXPECTED maps each case to the two outcomes the suite gives, "behavior" and "behaviorClose". Allowed are OK, INFORMATIONAL
(the suite only notes what we do) and NON-STRICT (allowed, but not what it would do), the last one only with a "reason".
A full run must have had exactly the expected cases. Writes 'N passed, N failed'; ends with 1 when any failed.
"""

import json
import sys

OUTCOMES = ("behavior", "behaviorClose")


def by_number(case):
    return [int(part) for part in case.split(".")]


def fault(actual, expected):
    """Why a case fails, or None."""
    if expected is None:
        return "is not in the expected results"
    for outcome in OUTCOMES:
        if actual[outcome] != expected[outcome]:
            return f"{outcome} is {actual[outcome]}, expected {expected[outcome]}"
        if actual[outcome] not in ("OK", "INFORMATIONAL", "NON-STRICT"):
            return f"{outcome} is {actual[outcome]}, which no expectation can allow"
        if actual[outcome] == "NON-STRICT" and not expected.get("reason"):
            return f"{outcome} is NON-STRICT and the expected results state no reason"
    return None


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main(mode, report_path, expected_path):
    report = load(report_path)["fanfare"]
    actual = {case: {outcome: result[outcome] for outcome in OUTCOMES} for case, result in report.items()}
    try:
        expected = load(expected_path)
    except FileNotFoundError:
        if mode != "accept":
            raise
        expected = {}
    if mode == "accept":
        reasons = {case: entry["reason"] for case, entry in expected.items() if "reason" in entry}
        expected = {
            case: actual[case] | ({"reason": reasons[case]} if case in reasons else {})
            for case in sorted(actual, key=by_number)
        }
        lines = ",\n".join(f"{json.dumps(case)}: {json.dumps(entry)}" for case, entry in expected.items())
        with open(expected_path, "w", encoding="utf-8") as file:
            file.write("{\n" + lines + "\n}\n")
    faults = {case: fault(result, expected.get(case)) for case, result in actual.items()}
    if mode != "quick":
        faults |= {case: "did not run" for case in expected.keys() - actual.keys()}
    faults = {case: why for case, why in faults.items() if why}
    for case in sorted(faults, key=by_number):
        print(f"autobahn: case {case}: {faults[case]}")
    passed = sum(case not in faults for case in actual)
    print(f"autobahn: {passed} passed, {len(faults)} failed")
    return 1 if faults or not passed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
