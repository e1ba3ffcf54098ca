"""What is said to the fleet's database. Each statement names the site, by which the tables may be spread over servers;
those in `FAN_OUT` are meant to ask all of them. tests/fleet/test_statements.py holds them to it."""

from __future__ import annotations

IDENTITY = "SELECT session_user, own_site(), own_device()"

SPACE = "SELECT id FROM space WHERE name = %(space)s AND dimension = %(dimension)s"

REGISTER = """
    INSERT INTO gallery (site, gallery, device, space, history)
    VALUES (%(site)s, %(gallery)s, %(device)s, %(space)s, make_interval(secs => %(history)s))
    ON CONFLICT (site, gallery) DO UPDATE SET history = EXCLUDED.history, heard = now()
    RETURNING batch, space
"""

BEGIN_BATCH = """
    UPDATE gallery SET batch = %(batch)s, heard = now()
    WHERE site = %(site)s AND gallery = %(gallery)s AND batch < %(batch)s
"""

PUT_PERSON = """
    INSERT INTO person (site, gallery, number, device, name, first_seen, last_seen, expires)
    SELECT %(site)s, %(gallery)s, %(number)s, %(device)s, %(name)s, to_timestamp(%(first_seen)s),
        to_timestamp(%(last_seen)s), now() + make_interval(secs => %(lifetime)s)
    WHERE NOT EXISTS (
        SELECT 1 FROM forgotten WHERE site = %(site)s AND gallery = %(gallery)s AND number = %(number)s
    )
    ON CONFLICT (site, gallery, number) DO UPDATE SET
        name = EXCLUDED.name, first_seen = EXCLUDED.first_seen, last_seen = EXCLUDED.last_seen,
        expires = EXCLUDED.expires
"""

PUT_PROTOTYPE = """
    INSERT INTO prototype (site, gallery, prototype, space, number, device, modality, quality, time, vector, crop)
    SELECT %(site)s, %(gallery)s, %(prototype)s, %(space)s, %(number)s, %(device)s, %(modality)s, %(quality)s,
        to_timestamp(%(time)s), %(vector)s, %(crop)s
    WHERE EXISTS (SELECT 1 FROM person WHERE site = %(site)s AND gallery = %(gallery)s AND number = %(number)s)
    ON CONFLICT (site, gallery, prototype, space) DO UPDATE SET number = EXCLUDED.number
"""

PUT_SIGHTING = """
    INSERT INTO sighting (site, gallery, number, camera, began, ended, device)
    SELECT %(site)s, %(gallery)s, %(number)s, %(camera)s, to_timestamp(%(began)s), to_timestamp(%(ended)s), %(device)s
    WHERE EXISTS (SELECT 1 FROM person WHERE site = %(site)s AND gallery = %(gallery)s AND number = %(number)s)
    ON CONFLICT (site, gallery, number, camera, began) DO UPDATE SET ended = EXCLUDED.ended
"""

DROP_PROTOTYPE = """
    DELETE FROM prototype WHERE site = %(site)s AND gallery = %(gallery)s AND prototype = %(prototype)s
"""

MERGE = "SELECT merge_people((%(site)s, %(gallery)s, %(gone)s)::person_key, %(kept)s)"

FORGET = "SELECT forget_person((%(site)s, %(gallery)s, %(number)s)::person_key)"

CONFIRM = """
    UPDATE forgotten SET confirmed = now()
    WHERE site = %(site)s AND gallery = %(gallery)s AND number = %(number)s AND confirmed IS NULL
"""

REOPEN = "UPDATE forgotten SET confirmed = NULL WHERE site = %(site)s AND gallery = %(gallery)s"

TO_FORGET = """
    SELECT number FROM forgotten WHERE site = %(site)s AND gallery = %(gallery)s AND confirmed IS NULL ORDER BY number
"""

NEXT_NUMBER = """
    UPDATE gallery SET next_number = next_number + 1 WHERE site = %(site)s AND gallery = %(gallery)s
    RETURNING next_number - 1
"""

COUNT_PEOPLE = "SELECT count(*) FROM person WHERE site = %(site)s AND gallery = %(gallery)s"

SAME_PEOPLE = "SELECT site, gallery, number FROM same_people((%(site)s, %(gallery)s, %(number)s)::person_key)"

PERSON = """
    SELECT device, name, extract(epoch FROM first_seen)::float8, extract(epoch FROM last_seen)::float8,
        extract(epoch FROM expires)::float8
    FROM person WHERE site = %(site)s AND gallery = %(gallery)s AND number = %(number)s
"""

PERSON_OF_DEVICE = """
    SELECT gallery FROM person WHERE site = %(site)s AND device = %(device)s AND number = %(number)s
"""

PERSON_CALLED = "SELECT gallery, number FROM person WHERE site = %(site)s AND name = %(name)s"

SIGHTINGS = """
    SELECT device, camera, extract(epoch FROM began)::float8, extract(epoch FROM ended)::float8
    FROM sighting WHERE site = %(site)s AND gallery = %(gallery)s AND number = %(number)s
    ORDER BY ended DESC LIMIT %(most)s
"""

LINK = """
    INSERT INTO link (site, gallery, number, other_site, other_gallery, other_number)
    VALUES (%(site)s, %(gallery)s, %(number)s, %(other_site)s, %(other_gallery)s, %(other_number)s)
    ON CONFLICT DO NOTHING
"""

UNLINK = """
    DELETE FROM link WHERE site = %(site)s AND gallery = %(gallery)s AND number = %(number)s
        AND other_site = %(other_site)s AND other_gallery = %(other_gallery)s AND other_number = %(other_number)s
"""

AUDIT = """
    INSERT INTO audit (site, action, person, count) VALUES (%(site)s, %(action)s, %(person)s, %(count)s)
"""

PROTOTYPES = """
    SELECT modality, vector FROM prototype
    WHERE site = %(site)s AND gallery = %(gallery)s AND number = %(number)s AND space = %(space)s
"""

PUT_REBUILT = """
    INSERT INTO prototype (site, gallery, prototype, space, number, device, modality, quality, time, vector, crop)
    SELECT site, gallery, prototype, %(space)s, number, device, modality, quality, time, %(vector)s, crop
    FROM prototype
    WHERE site = %(site)s AND gallery = %(gallery)s AND prototype = %(prototype)s AND space = %(old)s
    ON CONFLICT DO NOTHING
"""

# What follows asks every server.

GALLERIES = """
    SELECT g.site, g.gallery, g.device, s.name, g.batch, extract(epoch FROM now() - g.heard)::float8,
        (SELECT count(*) FROM person AS p WHERE p.site = g.site AND p.gallery = g.gallery),
        (SELECT count(*) FROM prototype AS t WHERE t.site = g.site AND t.gallery = g.gallery AND t.space = g.space),
        (SELECT count(*) FROM sighting AS i WHERE i.site = g.site AND i.gallery = g.gallery),
        (SELECT count(*) FROM forgotten AS f
            WHERE f.site = g.site AND f.gallery = g.gallery AND f.confirmed IS NULL)
    FROM gallery AS g JOIN space AS s ON s.id = g.space
    ORDER BY g.site, g.device, g.gallery
"""

EXPIRE_PEOPLE = "DELETE FROM person WHERE expires < now()"

EXPIRE_SIGHTINGS = """
    DELETE FROM sighting AS i USING gallery AS g
    WHERE i.site = g.site AND i.gallery = g.gallery AND i.ended < now() - g.history
"""

TO_REBUILD = """
    SELECT p.site, p.gallery, p.prototype, p.space, p.modality, p.crop FROM prototype AS p
    WHERE p.space <> %(space)s AND p.crop IS NOT NULL
        AND (p.site, p.gallery, p.prototype) > (%(site)s, %(gallery)s, %(prototype)s)
        AND NOT EXISTS (
            SELECT 1 FROM prototype AS n
            WHERE n.site = p.site AND n.gallery = p.gallery AND n.prototype = p.prototype AND n.space = %(space)s
        )
    ORDER BY p.site, p.gallery, p.prototype LIMIT %(most)s
"""

WITHOUT_PICTURE = """
    SELECT count(*) FROM prototype AS p
    WHERE p.space <> %(space)s AND p.crop IS NULL
        AND NOT EXISTS (
            SELECT 1 FROM prototype AS n
            WHERE n.site = p.site AND n.gallery = p.gallery AND n.prototype = p.prototype AND n.space = %(space)s
        )
"""

FAN_OUT = ("GALLERIES", "EXPIRE_PEOPLE", "EXPIRE_SIGHTINGS", "TO_REBUILD", "WITHOUT_PICTURE")
"""And `edge_reid.fleet.search.statement` where no site is given."""
