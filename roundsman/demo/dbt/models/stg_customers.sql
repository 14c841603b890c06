select customer_id, domain, plan, updated_at
from {{ source('crm', 'customers') }}
