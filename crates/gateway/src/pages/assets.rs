//! The three files a page loads, named by their content so that browsers may keep them for good.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderName, StatusCode, header};
use portcullis_base::Digest;

/// A file of ours.
pub struct Asset {
    name: String,
    kind: &'static str,
    body: &'static str,
}

/// The stylesheet.
pub static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("portcullis", "css", "text/css; charset=utf-8", include_str!("assets/portcullis.css")));
/// The script module; pages are complete without it.
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("portcullis", "js", "text/javascript; charset=utf-8", include_str!("assets/portcullis.js"))
});
/// The icon of the tab.
pub static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, body: &'static str) -> Self {
        let hash = Digest::of(body.as_bytes()).to_base64url();
        Self { name: format!("{stem}-{}.{extension}", &hash[..12]), kind, body }
    }

    /// Where pages find it.
    pub fn path(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

/// `GET /assets/{name}`
pub async fn serve(Path(name): Path<String>) -> Response {
    let Some(asset) = [&*STYLE, &*SCRIPT, &*ICON].into_iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        // An SVG opened by itself is a document.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ];
    (headers, asset.body).into_response()
}
