-- Of a code that was used it is kept which certificate it brought; nobody ever read the keys' hash and the
-- certificate itself. The columns go once no replica is left that writes them.
alter table enrolment_codes drop constraint enrolment_codes_used_whole;
alter table enrolment_codes add constraint enrolment_codes_used_whole
    check ((used_at is null) = (certificate_id is null));
