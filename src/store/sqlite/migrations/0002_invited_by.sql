-- Who issued an enrolment link, in words for its holder.

ALTER TABLE enrolment_links ADD COLUMN invited_by TEXT;
