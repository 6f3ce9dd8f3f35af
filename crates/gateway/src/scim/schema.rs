//! What users and groups are made of (RFC 7643), as far as it is of use here. Everything else that a directory sends is let
//! pass and not kept.

use serde_json::{Map, Value, json};

use super::error::ScimError;

/// One attribute, or one part of a complex attribute.
#[derive(Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name as it is written; compared without regard to case. For an extension, its identifier.
    pub name: &'static str,
    description: &'static str,
    kind: Kind,
    plurality: Plurality,
    mutability: Mutability,
    /// Whether a resource can be without it.
    need: Need,
    case: Case,
    uniqueness: &'static str,
    /// The parts of a complex attribute.
    pub parts: &'static [Attribute],
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// True or false.
    Flag,
    /// A moment.
    Moment,
    /// An address.
    Reference,
    /// Made of parts.
    Complex,
}

/// How many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plurality {
    /// At most one.
    One,
    /// Any number.
    Many,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutability {
    ReadWrite,
    ReadOnly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Ignored,
    Exact,
}

/// The longest text of a value, in characters.
const TEXT: usize = 1024;
/// The most values of an attribute of a user.
pub const VALUES: usize = 100;

impl Attribute {
    const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self {
            name,
            description,
            kind,
            plurality: Plurality::One,
            mutability: Mutability::ReadWrite,
            need: Need::Optional,
            case: Case::Ignored,
            uniqueness: "none",
            parts: &[],
        }
    }

    const fn text(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::Text, description)
    }

    const fn of(name: &'static str, description: &'static str, parts: &'static [Self]) -> Self {
        Self { parts, ..Self::new(name, Kind::Complex, description) }
    }

    const fn many(name: &'static str, description: &'static str, parts: &'static [Self]) -> Self {
        Self { plurality: Plurality::Many, ..Self::of(name, description, parts) }
    }

    const fn exact(self) -> Self {
        Self { case: Case::Exact, ..self }
    }

    const fn required(self) -> Self {
        Self { need: Need::Required, ..self }
    }

    const fn unique(self) -> Self {
        Self { uniqueness: "server", ..self }
    }

    const fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }

    /// What its values are.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it can have several values.
    pub const fn is_many(&self) -> bool {
        matches!(self.plurality, Plurality::Many)
    }

    /// Whether only we say what it is.
    pub const fn is_read_only(&self) -> bool {
        matches!(self.mutability, Mutability::ReadOnly)
    }

    /// Whether a resource must have it.
    pub const fn is_required(&self) -> bool {
        matches!(self.need, Need::Required)
    }

    /// Whether `A` and `a` are different values.
    pub const fn is_exact(&self) -> bool {
        matches!(self.case, Case::Exact)
    }

    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<&'static Self> {
        find(self.parts, name)
    }

    /// Reads a value as this attribute's, keeping what is known of it. `None`: it is empty, which is the same as absent
    /// (RFC 7643 section 2.5).
    pub fn read(&self, value: Value) -> Result<Option<Value>, ScimError> {
        if !self.is_many() {
            return self.read_one(value);
        }
        let values = match value {
            Value::Null => return Ok(None),
            Value::Array(values) => values,
            one => vec![one],
        };
        let mut read = Vec::with_capacity(values.len());
        for value in values {
            read.extend(self.read_one(value)?);
        }
        Ok((!read.is_empty()).then_some(Value::Array(read)))
    }

    /// The same for one of its values.
    pub fn read_one(&self, value: Value) -> Result<Option<Value>, ScimError> {
        let wrong = |wanted: &str| Err(ScimError::invalid_value(format!("\"{}\" must be {wanted}", self.name)));
        match (self.kind, value) {
            (_, Value::Null) => Ok(None),
            (Kind::Flag, Value::Bool(flag)) => Ok(Some(flag.into())),
            // Entra ID sends "True" and "False".
            (Kind::Flag, Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true.into())),
            (Kind::Flag, Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false.into())),
            (Kind::Flag, _) => wrong("true or false"),
            (Kind::Complex, Value::Object(members)) => {
                let read = read_members(self.parts, members)?;
                Ok((!read.is_empty()).then_some(Value::Object(read)))
            }
            // Entra ID sends the manager as a bare identifier.
            (Kind::Complex, Value::String(text)) if self.part("value").is_some() => {
                self.read_one(json!({ "value": text }))
            }
            (Kind::Complex, _) => wrong("an object"),
            (_, Value::String(text)) if text.chars().count() > TEXT => wrong("shorter"),
            (_, Value::String(text)) => Ok((!text.is_empty()).then_some(Value::String(text))),
            _ => wrong("a text"),
        }
    }

    fn document(&self) -> Value {
        let kind = match self.kind {
            Kind::Text => "string",
            Kind::Flag => "boolean",
            Kind::Moment => "dateTime",
            Kind::Reference => "reference",
            Kind::Complex => "complex",
        };
        let mut document = json!({
            "name": self.name,
            "type": kind,
            "multiValued": self.is_many(),
            "description": self.description,
            "required": self.is_required(),
            "caseExact": self.is_exact(),
            "mutability": if self.is_read_only() { "readOnly" } else { "readWrite" },
            "returned": if self.name == "id" { "always" } else { "default" },
            "uniqueness": self.uniqueness,
        });
        if self.kind == Kind::Reference {
            document["referenceTypes"] = json!(["User", "Group", "external"]);
        }
        if !self.parts.is_empty() {
            document["subAttributes"] = self.parts.iter().map(Self::document).collect();
        }
        document
    }
}

/// Keeps the members that are among `attributes`, read as such, under the names that these have. What only we say is left out
/// (RFC 7644 section 3.5.1: "any values provided SHALL be ignored").
pub fn read_members(attributes: &[Attribute], members: Map<String, Value>) -> Result<Map<String, Value>, ScimError> {
    let mut read = Map::new();
    for (name, value) in members {
        let Some(attribute) = find_in(attributes, &name).filter(|attribute| !attribute.is_read_only()) else {
            continue;
        };
        if let Some(value) = attribute.read(value)? {
            read.insert(attribute.name.to_owned(), value);
        }
    }
    Ok(read)
}

/// The attribute of this name.
pub fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

fn find_in<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// A kind of resource.
#[derive(Debug)]
pub struct Schema {
    /// Its identifier.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Where its resources are, below the base.
    pub endpoint: &'static str,
    description: &'static str,
    /// What it is made of, extensions included.
    pub attributes: &'static [Attribute],
}

/// The identifier of the enterprise extension.
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

impl Schema {
    /// The attribute path that `text` names: with or without the schema's identifier in front, parts after a dot.
    /// `None` if there is no such attribute.
    pub fn path(&self, text: &str) -> Option<Vec<&'static Attribute>> {
        if let Some(rest) = strip(text, self.id) {
            return walk(self.attributes, rest);
        }
        for attribute in self.attributes.iter().filter(|attribute| attribute.name.starts_with("urn:")) {
            if text.eq_ignore_ascii_case(attribute.name) {
                return Some(vec![attribute]);
            }
            if let Some(rest) = strip(text, attribute.name) {
                let mut path = vec![attribute];
                path.extend(walk(attribute.parts, rest)?);
                return Some(path);
            }
        }
        walk(self.attributes, text)
    }

    /// The schemas that a resource with these members has.
    pub fn ids(&self, members: &Map<String, Value>) -> Vec<&'static str> {
        let extensions = self.attributes.iter().map(|attribute| attribute.name);
        let present = extensions.filter(|name| name.starts_with("urn:") && members.contains_key(*name));
        std::iter::once(self.id).chain(present).collect()
    }

    fn documents(&self, base: &str) -> Vec<Value> {
        let document = |id: &str, name: &str, description: &str, attributes: Vec<Value>| {
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
                "id": id,
                "name": name,
                "description": description,
                "attributes": attributes,
                "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{id}") },
            })
        };
        let (extensions, own): (Vec<_>, Vec<_>) =
            self.attributes.iter().partition(|attribute| attribute.name.starts_with("urn:"));
        let own = own.into_iter().filter(|attribute| !["id", "externalId", "meta"].contains(&attribute.name));
        let mut documents =
            vec![document(self.id, self.name, self.description, own.map(Attribute::document).collect())];
        for extension in extensions {
            let parts = extension.parts.iter().map(Attribute::document).collect();
            documents.push(document(extension.name, "Enterprise User", extension.description, parts));
        }
        documents
    }
}

fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = (text.get(..prefix.len())?, text.get(prefix.len()..)?);
    head.eq_ignore_ascii_case(prefix).then(|| rest.strip_prefix(':'))?
}

fn walk(attributes: &'static [Attribute], text: &str) -> Option<Vec<&'static Attribute>> {
    let mut path = Vec::new();
    let mut here = attributes;
    for name in text.split('.') {
        let attribute = find(here, name)?;
        here = attribute.parts;
        path.push(attribute);
    }
    Some(path)
}

/// Every schema, as `/Schemas` shows them.
pub fn documents(base: &str) -> Vec<Value> {
    [&USER, &GROUP].into_iter().flat_map(|schema| schema.documents(base)).collect()
}

const ID: Attribute = Attribute::text("id", "Identifier, given by this gateway").exact().unique().read_only();
const EXTERNAL_ID: Attribute = Attribute::text("externalId", "Identifier, given by the directory").exact();
const META: Attribute = Attribute::of(
    "meta",
    "About the resource itself",
    &[
        Attribute::text("resourceType", "Kind").exact().read_only(),
        Attribute::new("created", Kind::Moment, "When it was announced").read_only(),
        Attribute::new("lastModified", Kind::Moment, "When it last changed").read_only(),
        Attribute::new("location", Kind::Reference, "Address").exact().read_only(),
        Attribute::text("version", "Version, as in the ETag").exact().read_only(),
    ],
)
.read_only();
const TYPE: Attribute = Attribute::text("type", "What it is used for, such as work");
const PRIMARY: Attribute = Attribute::new("primary", Kind::Flag, "Whether it is the preferred one");
const DISPLAY: Attribute = Attribute::text("display", "Name to show");

/// People.
pub static USER: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    endpoint: "/Users",
    description: "A person who may sign in",
    attributes: &[
        ID,
        EXTERNAL_ID,
        META,
        Attribute::text("userName", "Name in the directory, unique without regard to case").required().unique(),
        Attribute::of(
            "name",
            "Parts of the name",
            &[
                Attribute::text("formatted", "The whole name"),
                Attribute::text("familyName", "Family name"),
                Attribute::text("givenName", "Given name"),
                Attribute::text("middleName", "Middle name"),
                Attribute::text("honorificPrefix", "Title before the name"),
                Attribute::text("honorificSuffix", "Title after the name"),
            ],
        ),
        Attribute::text("displayName", "Name to show"),
        Attribute::text("nickName", "What they are called"),
        Attribute::text("title", "Title, such as Vice President"),
        Attribute::text("userType", "Relation to the organization"),
        Attribute::text("preferredLanguage", "Language"),
        Attribute::text("locale", "Place for formats"),
        Attribute::text("timezone", "Time zone"),
        Attribute::new("active", Kind::Flag, "Whether they may sign in; false ends all their access at once"),
        Attribute::many(
            "emails",
            "Mail addresses",
            &[Attribute::text("value", "Mail address"), DISPLAY, TYPE, PRIMARY],
        ),
        Attribute::many(
            "phoneNumbers",
            "Telephone numbers",
            &[Attribute::text("value", "Number"), DISPLAY, TYPE, PRIMARY],
        ),
        Attribute::many(
            "addresses",
            "Postal addresses",
            &[
                Attribute::text("formatted", "The whole address"),
                Attribute::text("streetAddress", "Street and number"),
                Attribute::text("locality", "City"),
                Attribute::text("region", "Region"),
                Attribute::text("postalCode", "Postal code"),
                Attribute::text("country", "Country"),
                TYPE,
                PRIMARY,
            ],
        ),
        Attribute::many(
            "groups",
            "Groups of this directory that they are in",
            &[
                Attribute::text("value", "Identifier of the group").exact().read_only(),
                Attribute::new("$ref", Kind::Reference, "Address of the group").exact().read_only(),
                Attribute::text("display", "Name of the group").read_only(),
                Attribute::text("type", "direct").read_only(),
            ],
        )
        .read_only(),
        Attribute::of(
            ENTERPRISE,
            "Their place in the organization",
            &[
                Attribute::text("employeeNumber", "Number"),
                Attribute::text("costCenter", "Cost center"),
                Attribute::text("organization", "Organization"),
                Attribute::text("division", "Division"),
                Attribute::text("department", "Department"),
                Attribute::of(
                    "manager",
                    "Who manages them",
                    &[
                        Attribute::text("value", "Identifier of the manager").exact(),
                        Attribute::new("$ref", Kind::Reference, "Address of the manager").exact(),
                        Attribute::text("displayName", "Name of the manager"),
                    ],
                ),
            ],
        ),
    ],
};

/// Groups.
pub static GROUP: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    endpoint: "/Groups",
    description: "A group; its name can stand in rules and roles",
    attributes: &[
        ID,
        EXTERNAL_ID,
        META,
        Attribute::text("displayName", "Name, unique without regard to case").required().unique(),
        Attribute::many(
            "members",
            "Who is in it",
            &[
                Attribute::text("value", "Identifier of the user").exact(),
                Attribute::new("$ref", Kind::Reference, "Address of the user").exact(),
                Attribute::text("display", "Name of the user"),
                Attribute::text("type", "User"),
            ],
        ),
    ],
};
