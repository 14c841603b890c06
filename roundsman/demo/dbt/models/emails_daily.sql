select
    received_on,
    sender_domain,
    count(*) as mails,
    sum(size_bytes) as bytes
from {{ ref('stg_emails') }}
group by received_on, sender_domain
