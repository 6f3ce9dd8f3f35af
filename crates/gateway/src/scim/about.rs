//! What this door can do (RFC 7644 section 4).

use axum::{extract::Path, response::Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    answer::scim_json,
    directory::Directory,
    error::ScimError,
    query::{MOST, list},
    schema::{self, ENTERPRISE, GROUP, Schema, USER},
};

/// `GET /ServiceProviderConfig`
pub async fn service_provider_config(directory: Directory) -> Response {
    let no = json!({ "supported": false });
    let config = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST },
        "changePassword": no,
        "sort": no,
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The token that is set for this provider in the gateway's settings",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{}/ServiceProviderConfig", directory.base),
        },
    });
    scim_json(StatusCode::OK, &config)
}

/// `GET /ResourceTypes`
pub async fn resource_types(directory: Directory) -> Response {
    let types = vec![resource(&USER, &directory.base), resource(&GROUP, &directory.base)];
    scim_json(StatusCode::OK, &list(2, 0, types))
}

/// `GET /ResourceTypes/{id}`
pub async fn resource_type(directory: Directory, Path(id): Path<String>) -> Result<Response, ScimError> {
    let schema = [&USER, &GROUP].into_iter().find(|schema| schema.name == id).ok_or_else(ScimError::not_found)?;
    Ok(scim_json(StatusCode::OK, &resource(schema, &directory.base)))
}

/// `GET /Schemas`
pub async fn schemas(directory: Directory) -> Response {
    let documents = schema::documents(&directory.base);
    scim_json(StatusCode::OK, &list(documents.len() as u64, 0, documents))
}

/// `GET /Schemas/{id}`
pub async fn schema(directory: Directory, Path(id): Path<String>) -> Result<Response, ScimError> {
    let mut documents = schema::documents(&directory.base).into_iter();
    let document = documents.find(|document| document["id"] == id.as_str()).ok_or_else(ScimError::not_found)?;
    Ok(scim_json(StatusCode::OK, &document))
}

fn resource(schema: &Schema, base: &str) -> Value {
    let mut document = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": schema.name,
        "name": schema.name,
        "endpoint": schema.endpoint,
        "schema": schema.id,
        "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{}", schema.name) },
    });
    if schema.attributes.iter().any(|attribute| attribute.name == ENTERPRISE) {
        document["schemaExtensions"] = json!([{ "schema": ENTERPRISE, "required": false }]);
    }
    document
}
