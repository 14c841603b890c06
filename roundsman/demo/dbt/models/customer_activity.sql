with domains as (
    select plan, domain, count(*) as customers
    from {{ ref('stg_customers') }}
    group by plan, domain
)

select
    domains.plan,
    domains.domain,
    domains.customers,
    sum(daily.mails) as mails
from domains
left join {{ ref('emails_daily') }} as daily on daily.sender_domain = domains.domain
group by domains.plan, domains.domain, domains.customers
