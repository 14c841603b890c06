select
    cast(received_at as date) as received_on,
    sender_domain,
    count(*) as mails,
    sum(size_bytes) as bytes
from {{ ref('emails') }}
group by received_on, sender_domain
