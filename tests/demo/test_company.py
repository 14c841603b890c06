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


def test_the_newest_hours_and_some_rows_of_an_earlier_day_are_late():
    sample = found_company(Company(now=NOW))
    late = sample.after_build().mails
    newest = [mail for mail in late if mail.received_at >= NOW - timedelta(hours=6)]
    assert newest == [m for m in sample.mails if m.received_at >= NOW - timedelta(hours=6)]
    earlier = [mail for mail in late if mail not in newest]
    assert {mail.received_at.date() for mail in earlier} == {(NOW - timedelta(days=2)).date()}
    assert len(earlier) == 48
    assert not sample.late & set(sample.missing)


def test_what_was_there_before_the_build_and_what_came_after_is_all():
    sample = found_company(Company(now=NOW, days=3, mails_a_day=40))
    before, after = sample.before_build(), sample.after_build()
    assert sorted([*before.mails, *after.mails]) == sorted(sample.mails)
    assert before.mails[-1].received_at < NOW - timedelta(hours=6)
    assert after.mails[-1] == sample.mails[-1]
    assert before.customers == after.customers == sample.customers
