select
    message_id,
    received_at,
    cast(received_at as date) as received_on,
    sender_domain,
    size_bytes
from {{ source('analytics', 'emails') }}
