"""The sample company: the same one each time, wrong in exactly the planted places."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from roundsman.demo.company import Company, found_company

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def test_the_same_seed_and_moment_found_the_same_company():
    assert found_company(Company(now=NOW)) == found_company(Company(now=NOW))


def test_another_seed_founds_another_company():
    assert found_company(Company(now=NOW)) != found_company(Company(now=NOW, seed=21))


def test_some_thousand_mails_cover_two_weeks_up_to_now():
    mails = found_company(Company(now=NOW)).mails
    assert 2_000 < len(mails) < 6_000
    assert mails[-1].received_at == NOW - timedelta(minutes=3)
    assert NOW - mails[0].received_at > timedelta(days=13)
    assert len({mail.message_id for mail in mails}) == len(mails)


def test_the_missing_rows_are_of_one_day():
    sample = found_company(Company(now=NOW))
    days = {mail.received_at.date() for mail in sample.mails if mail.message_id in sample.missing}
    assert days == {(NOW - timedelta(days=5)).date()}
    assert len(sample.missing) == 37


def test_the_table_of_customers_is_days_old():
    customers = found_company(Company(now=NOW)).customers
    assert max(row["updated_at"] for row in customers) <= NOW - timedelta(days=3)


def test_saturdays_and_sundays_are_quiet():
    days = Counter(mail.received_at.date() for mail in found_company(Company(now=NOW)).mails)
    whole = [
        day for day in days if NOW - timedelta(13) < datetime(*day.timetuple()[:3], tzinfo=UTC)
    ]
    whole.remove(NOW.date())
    assert {day.weekday() for day in whole if days[day] < 235} == {5, 6}
    assert all(days[day] > 250 for day in whole if day.weekday() < 5)
