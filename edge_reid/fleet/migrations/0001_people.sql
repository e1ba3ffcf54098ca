-- The galleries of many devices in one database. A person is known by the site, the gallery (one file of one device) and
-- the number that this gallery gave; numbers are never given twice, so everything here can be written twice and is there once.
--
-- Every table that grows with the people has the site first in its key, so that the same schema can be spread over many
-- servers by it. Who may see what is decided by the rows of `login`, whatever a program asks for.

CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;

-- Who logs in: a device of a site, or an operator (device null) of one site or of all ('*').
CREATE TABLE login (
    login text PRIMARY KEY,
    site text NOT NULL CHECK (site ~ '^([a-z0-9][a-z0-9._-]{0,62}|[*])$'),
    device text CHECK (device ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    admitted timestamptz NOT NULL DEFAULT now(),
    UNIQUE (site, device),
    CHECK (device IS NULL OR site <> '*')
);

-- A model whose vectors can be compared with one another and with no other's.
CREATE TABLE space (
    id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    dimension integer NOT NULL CHECK (dimension BETWEEN 1 AND 2000)
);

CREATE TABLE gallery (
    site text NOT NULL,
    gallery text NOT NULL CHECK (gallery ~ '^[0-9a-f]{12}$'),
    device text NOT NULL,
    space smallint NOT NULL REFERENCES space,
    history interval NOT NULL,              -- for how long its sightings are kept
    batch bigint NOT NULL DEFAULT 0,        -- the last one that was applied
    next_number bigint NOT NULL DEFAULT 1,  -- of a gallery that has no file of its own
    heard timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, gallery)
);

CREATE TABLE person (
    site text NOT NULL,
    gallery text NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    device text NOT NULL,
    name text,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    expires timestamptz,                    -- by this server's clock, not by the device's
    PRIMARY KEY (site, gallery, number),
    FOREIGN KEY (site, gallery) REFERENCES gallery
);
CREATE INDEX person_name ON person (site, name) WHERE name IS NOT NULL;
CREATE INDEX person_expires ON person (site, expires) WHERE expires IS NOT NULL;

CREATE TABLE prototype (
    site text NOT NULL,
    gallery text NOT NULL,
    prototype bigint NOT NULL,
    space smallint NOT NULL REFERENCES space,
    number bigint NOT NULL,
    device text NOT NULL,
    modality text NOT NULL CHECK (modality IN ('visible', 'thermal')),
    quality real NOT NULL CHECK (quality > 0),
    time timestamptz NOT NULL,
    vector vector NOT NULL,
    crop bytea,
    PRIMARY KEY (site, gallery, prototype, space),
    FOREIGN KEY (site, gallery, number) REFERENCES person ON DELETE CASCADE
);
ALTER TABLE prototype ALTER COLUMN vector SET STORAGE MAIN;  -- beside the row: exact search reads every one
CREATE INDEX prototype_person ON prototype (site, gallery, number);
CREATE INDEX prototype_camera ON prototype (site, device, modality, time);

CREATE TABLE sighting (
    site text NOT NULL,
    gallery text NOT NULL,
    number bigint NOT NULL,
    camera text NOT NULL,
    began timestamptz NOT NULL,
    ended timestamptz NOT NULL CHECK (ended >= began),
    device text NOT NULL,
    PRIMARY KEY (site, gallery, number, camera, began),
    FOREIGN KEY (site, gallery, number) REFERENCES person ON DELETE CASCADE
);
CREATE INDEX sighting_ended ON sighting (site, gallery, ended);

-- People whom an operator has found to be one, each pair in both directions.
CREATE TABLE link (
    site text NOT NULL,
    gallery text NOT NULL,
    number bigint NOT NULL,
    other_site text NOT NULL,
    other_gallery text NOT NULL,
    other_number bigint NOT NULL,
    PRIMARY KEY (site, gallery, number, other_site, other_gallery, other_number)
);
CREATE INDEX link_other ON link (other_site, other_gallery, other_number);

-- Who is to be remembered nowhere. It stays: a device that comes back after months must not bring them again.
CREATE TABLE forgotten (
    site text NOT NULL,
    gallery text NOT NULL,
    number bigint NOT NULL,
    device text NOT NULL,
    requested timestamptz NOT NULL DEFAULT now(),
    confirmed timestamptz,                  -- by the device: nothing is in its file any more
    PRIMARY KEY (site, gallery, number)
);
CREATE INDEX forgotten_open ON forgotten (site, gallery) WHERE confirmed IS NULL;

CREATE TABLE audit (
    site text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    time timestamptz NOT NULL DEFAULT now(),
    login text NOT NULL DEFAULT session_user,
    action text NOT NULL,
    person text,
    count bigint NOT NULL,
    PRIMARY KEY (site, id)
);
