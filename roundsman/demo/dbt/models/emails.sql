-- Every column of the source, so that the mart can be compared with the search index.
select
    message_id,
    received_at,
    date_header,
    sender,
    sender_domain,
    recipient,
    subject,
    size_bytes,
    fingerprint,
    broken,
    label,
    subtype
from {{ source('analytics', 'emails') }}
