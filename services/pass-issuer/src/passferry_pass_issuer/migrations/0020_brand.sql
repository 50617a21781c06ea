-- How a workspace looks where its templates say nothing of their own.
CREATE TABLE brand (
    workspace_id         uuid NOT NULL PRIMARY KEY REFERENCES workspace (workspace_id),
    organization_name    text,
    logo_text            text,
    background_color     text,
    foreground_color     text,
    label_color          text,
    hex_background_color text,
    logo_url             text,
    updated_at           timestamptz NOT NULL
);
SELECT isolate_by_workspace('brand');

CREATE TABLE brand_image (
    workspace_id uuid NOT NULL REFERENCES brand (workspace_id),
    name         text NOT NULL,
    role         text NOT NULL,
    sha256       text NOT NULL,
    PRIMARY KEY (workspace_id, name),
    FOREIGN KEY (workspace_id, sha256) REFERENCES template_asset (workspace_id, sha256)
);
SELECT isolate_by_workspace('brand_image');

-- What a published version took of the brand, such as `apple.background_color` and `files.logo`.
ALTER TABLE template ADD COLUMN from_brand text[] NOT NULL DEFAULT '{}';
