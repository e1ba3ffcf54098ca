-- What needs more rights than a device has, in functions; and who may do what.

CREATE TYPE person_key AS (site text, gallery text, number bigint);

CREATE FUNCTION own_site() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = edge_reid, public AS
$$ SELECT site FROM login WHERE login = session_user $$;

CREATE FUNCTION own_device() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = edge_reid, public AS
$$ SELECT device FROM login WHERE login = session_user $$;

CREATE FUNCTION may_change(one person_key) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = edge_reid, public AS $$
BEGIN
    IF own_site() IS NULL OR own_site() NOT IN ('*', one.site) THEN
        RETURN false;
    END IF;
    RETURN own_device() IS NULL OR EXISTS (
        SELECT 1 FROM gallery WHERE site = one.site AND gallery = one.gallery AND device = own_device()
    );
END $$;

-- Everyone who is the same human being: who has the same name at the same site, and whom an operator has linked.
CREATE FUNCTION same_people(one person_key) RETURNS SETOF person_key
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = edge_reid, public AS $$
DECLARE
    known person_key[] := ARRAY[one];
    fresh person_key[] := ARRAY[one];
    found person_key[];
    step person_key;
BEGIN
    WHILE cardinality(fresh) > 0 LOOP
        found := '{}';
        FOREACH step IN ARRAY fresh LOOP
            found := found || ARRAY(
                SELECT (other.site, other.gallery, other.number)::person_key
                FROM person AS mine JOIN person AS other ON other.site = mine.site AND other.name = mine.name
                WHERE mine.site = step.site AND mine.gallery = step.gallery AND mine.number = step.number
            );
            found := found || ARRAY(
                SELECT (other_site, other_gallery, other_number)::person_key
                FROM link WHERE site = step.site AND gallery = step.gallery AND number = step.number
            );
        END LOOP;
        fresh := ARRAY(SELECT DISTINCT key FROM unnest(found) AS key WHERE key <> ALL (known));
        known := known || fresh;
    END LOOP;
    RETURN QUERY SELECT * FROM unnest(known);
END $$;

-- Leave nothing of a human being, and have every device do so that knows them; how many people of galleries that were.
CREATE FUNCTION forget_person(one person_key) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = edge_reid, public AS $$
DECLARE
    step person_key;
    people bigint := 0;
BEGIN
    IF NOT may_change(one) THEN
        RAISE insufficient_privilege USING MESSAGE = 'no person of this login';
    END IF;
    FOR step IN SELECT * FROM same_people(one) LOOP
        INSERT INTO forgotten (site, gallery, number, device)
            SELECT step.site, step.gallery, step.number, device FROM gallery
            WHERE site = step.site AND gallery = step.gallery
            ON CONFLICT DO NOTHING;
        DELETE FROM link WHERE other_site = step.site AND other_gallery = step.gallery AND other_number = step.number;
        DELETE FROM link WHERE site = step.site AND gallery = step.gallery AND number = step.number;
        DELETE FROM person WHERE site = step.site AND gallery = step.gallery AND number = step.number;
        people := people + 1;
    END LOOP;
    RETURN people;
END $$;

-- A device has found that two of its people are one.
CREATE FUNCTION merge_people(one person_key, kept bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = edge_reid, public AS $$
BEGIN
    IF NOT may_change(one) THEN
        RAISE insufficient_privilege USING MESSAGE = 'no person of this login';
    END IF;
    IF EXISTS (SELECT 1 FROM person WHERE site = one.site AND gallery = one.gallery AND number = kept) THEN
        UPDATE prototype SET number = kept WHERE site = one.site AND gallery = one.gallery AND number = one.number;
        INSERT INTO sighting (site, gallery, number, camera, began, ended, device)
            SELECT site, gallery, kept, camera, began, ended, device FROM sighting
            WHERE site = one.site AND gallery = one.gallery AND number = one.number
            ON CONFLICT DO NOTHING;
        INSERT INTO link (site, gallery, number, other_site, other_gallery, other_number)
            SELECT site, gallery, kept, other_site, other_gallery, other_number FROM link
            WHERE site = one.site AND gallery = one.gallery AND number = one.number
            ON CONFLICT DO NOTHING;
        INSERT INTO link (site, gallery, number, other_site, other_gallery, other_number)
            SELECT site, gallery, number, other_site, other_gallery, kept FROM link
            WHERE other_site = one.site AND other_gallery = one.gallery AND other_number = one.number
            ON CONFLICT DO NOTHING;
    END IF;
    DELETE FROM link WHERE other_site = one.site AND other_gallery = one.gallery AND other_number = one.number;
    DELETE FROM link WHERE site = one.site AND gallery = one.gallery AND number = one.number;
    DELETE FROM person WHERE site = one.site AND gallery = one.gallery AND number = one.number;
END $$;

DO $$
BEGIN
    CREATE ROLE edge_reid_device NOLOGIN;
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
DO $$
BEGIN
    CREATE ROLE edge_reid_operator NOLOGIN;
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA edge_reid FROM PUBLIC;
GRANT USAGE ON SCHEMA edge_reid TO edge_reid_device, edge_reid_operator;
GRANT EXECUTE ON FUNCTION own_site, own_device, may_change, forget_person, merge_people
    TO edge_reid_device, edge_reid_operator;
GRANT EXECUTE ON FUNCTION same_people TO edge_reid_operator;

GRANT SELECT ON space TO edge_reid_device, edge_reid_operator;
GRANT SELECT, INSERT, UPDATE ON gallery, person TO edge_reid_device;
GRANT SELECT, INSERT, UPDATE ON sighting TO edge_reid_device;
-- how others look, for searching, but not when that was, which would be their history
GRANT SELECT (site, gallery, prototype, space, number, device, modality, vector), INSERT, UPDATE (number), DELETE
    ON prototype TO edge_reid_device;
GRANT SELECT, UPDATE (confirmed) ON forgotten TO edge_reid_device;
GRANT INSERT ON audit TO edge_reid_device;

GRANT SELECT ON gallery, person, prototype, sighting, link, forgotten, audit TO edge_reid_operator;
GRANT INSERT, DELETE ON link TO edge_reid_operator;
GRANT INSERT ON prototype, audit TO edge_reid_operator;
GRANT DELETE ON person, sighting TO edge_reid_operator;

ALTER TABLE gallery ENABLE ROW LEVEL SECURITY;
ALTER TABLE person ENABLE ROW LEVEL SECURITY;
ALTER TABLE prototype ENABLE ROW LEVEL SECURITY;
ALTER TABLE sighting ENABLE ROW LEVEL SECURITY;
ALTER TABLE link ENABLE ROW LEVEL SECURITY;
ALTER TABLE forgotten ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;

CREATE POLICY own ON gallery TO edge_reid_device
    USING (site = (SELECT own_site()) AND device = (SELECT own_device()));
CREATE POLICY own ON person TO edge_reid_device
    USING (site = (SELECT own_site()) AND device = (SELECT own_device()));
CREATE POLICY own ON prototype TO edge_reid_device
    USING (site = (SELECT own_site()) AND device = (SELECT own_device()));
CREATE POLICY of_the_site ON prototype FOR SELECT TO edge_reid_device
    USING (site = (SELECT own_site()));
CREATE POLICY own ON sighting TO edge_reid_device
    USING (site = (SELECT own_site()) AND device = (SELECT own_device()));
CREATE POLICY own ON forgotten TO edge_reid_device
    USING (site = (SELECT own_site()) AND device = (SELECT own_device()));
CREATE POLICY own ON audit FOR INSERT TO edge_reid_device
    WITH CHECK (site = (SELECT own_site()) AND login = session_user);

CREATE POLICY of_the_site ON gallery TO edge_reid_operator
    USING ((SELECT own_site()) IN ('*', site));
CREATE POLICY of_the_site_operator ON prototype TO edge_reid_operator
    USING ((SELECT own_site()) IN ('*', site));
CREATE POLICY of_the_site ON person TO edge_reid_operator
    USING ((SELECT own_site()) IN ('*', site));
CREATE POLICY of_the_site ON sighting TO edge_reid_operator
    USING ((SELECT own_site()) IN ('*', site));
CREATE POLICY of_the_site ON link TO edge_reid_operator
    USING ((SELECT own_site()) = '*' OR (site = (SELECT own_site()) AND other_site = (SELECT own_site())));
CREATE POLICY of_the_site ON forgotten TO edge_reid_operator
    USING ((SELECT own_site()) IN ('*', site));
CREATE POLICY of_the_site ON audit TO edge_reid_operator
    USING ((SELECT own_site()) IN ('*', site)) WITH CHECK ((SELECT own_site()) IN ('*', site) AND login = session_user);
