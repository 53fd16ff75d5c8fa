-- Times are Unix microseconds, UTC. Words in `state`, `purpose` and `end_reason` are listed in store/model.rs.

CREATE TABLE users (
    id           TEXT PRIMARY KEY,
    login        TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    email        TEXT NOT NULL UNIQUE,
    tenant       TEXT NOT NULL,
    contractor   INTEGER NOT NULL,
    state        TEXT NOT NULL,
    created      INTEGER NOT NULL,
    last_sign_in INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE user_groups (
    user TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (user, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE passwords (
    owner   TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    phc     TEXT NOT NULL,
    changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lockouts (
    owner    TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    failures INTEGER NOT NULL,
    until    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE totp (
    owner         TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed_secret BLOB NOT NULL,
    last_step     INTEGER NOT NULL,
    confirmed_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE totp_proposals (
    owner         TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed_secret BLOB NOT NULL,
    created       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_codes (
    owner   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (owner, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE enrolment_links (
    token   BLOB PRIMARY KEY,
    user    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    purpose TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX enrolment_links_by_user ON enrolment_links (user);

CREATE TABLE sessions (
    id            TEXT PRIMARY KEY,
    user          TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created       INTEGER NOT NULL,
    verified_at   INTEGER NOT NULL,
    methods       TEXT NOT NULL, -- words separated by spaces
    last_seen     INTEGER NOT NULL,
    expires       INTEGER NOT NULL,
    ended         INTEGER,
    end_reason    TEXT,
    sealed_origin BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user);

CREATE TABLE session_cookies (
    hash    BLOB PRIMARY KEY,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    host    TEXT NOT NULL,
    UNIQUE (session, host)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    name    TEXT PRIMARY KEY,
    blob    BLOB NOT NULL,
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
