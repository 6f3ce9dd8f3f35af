//! Where client files are on this machine, and which of them may be written.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use portcullis_gateway::client_entry::Client;

use super::files::Files;
use crate::failure::Failure;

/// What a path starts from. A base that does not exist on this system gives no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The home directory.
    Home,
    /// The home directory, but not on Windows.
    Unix,
    /// `$XDG_CONFIG_HOME` or `~/.config`, but not on Windows; on macOS always `~/.config`.
    Config,
    /// Where desktop programs keep their settings: `~/Library/Application Support`, `$XDG_CONFIG_HOME`, `%APPDATA%`.
    Application,
    /// `~/Library/Application Support`, on macOS only.
    Mac,
    /// `%APPDATA%`, on Windows only.
    Windows,
    /// `%LOCALAPPDATA%`, on Windows only.
    WindowsLocal,
    /// The directory (or, for an empty rest, the file) that an environment variable names.
    Variable(&'static str),
}

/// The systems whose paths differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Linux,
    Mac,
    Windows,
}

/// What is known of this machine.
pub struct Machine<'a> {
    pub system: System,
    pub home: PathBuf,
    pub environment: &'a BTreeMap<String, String>,
    /// The root of the current project.
    pub project: PathBuf,
}

/// A file to write, and the directory that a symbolic link may not lead out of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    pub root: PathBuf,
}

impl System {
    /// The system this program was built for.
    pub fn this() -> Self {
        if cfg!(target_os = "macos") {
            Self::Mac
        } else if cfg!(windows) {
            Self::Windows
        } else {
            Self::Linux
        }
    }
}

impl Machine<'_> {
    /// The file of `client` for this person: the first that exists, or else the first that makes sense here.
    pub fn user_file(&self, client: &Client) -> Option<Place> {
        let places: Vec<Place> =
            Files::of(client).user.iter().filter_map(|(base, rest)| self.place(*base, rest)).collect();
        places.iter().find(|place| place.path.exists()).or(places.first()).cloned()
    }

    /// The file of `client` for the current project.
    pub fn project_file(&self, client: &Client) -> Option<Place> {
        Files::of(client).project.map(|rest| Place { path: self.project.join(rest), root: self.project.clone() })
    }

    fn place(&self, base: Base, rest: &str) -> Option<Place> {
        let variable = |name: &str| self.environment.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        let windows = self.system == System::Windows;
        let mac = self.system == System::Mac;
        let xdg = || variable("XDG_CONFIG_HOME").unwrap_or_else(|| self.home.join(".config"));
        let library = || self.home.join("Library/Application Support");
        let roaming = || variable("APPDATA").unwrap_or_else(|| self.home.join("AppData/Roaming"));
        let root = match base {
            Base::Variable(name) => {
                let start = variable(name)?;
                let file = if rest.is_empty() { start.clone() } else { start.join(rest) };
                let root = if rest.is_empty() { start.parent()?.to_owned() } else { start };
                return Some(Place { path: file, root });
            }
            Base::Home => self.home.clone(),
            Base::Unix => (!windows).then(|| self.home.clone())?,
            Base::Config if mac => self.home.join(".config"),
            Base::Config => (!windows).then(xdg)?,
            Base::Application if mac => library(),
            Base::Application if windows => roaming(),
            Base::Application => xdg(),
            Base::Mac => mac.then(library)?,
            Base::Windows => windows.then(roaming)?,
            Base::WindowsLocal => {
                windows.then(|| variable("LOCALAPPDATA").unwrap_or_else(|| self.home.join("AppData/Local")))?
            }
        };
        let root_of_links = if root.starts_with(&self.home) { self.home.clone() } else { root.clone() };
        Some(Place { path: root.join(rest), root: root_of_links })
    }
}

impl Place {
    /// The place that `--file` names.
    pub fn given(path: PathBuf, machine: &Machine<'_>) -> Self {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .map_or_else(|| PathBuf::from("."), Path::to_owned);
        let root = if path.starts_with(&machine.home) { machine.home.clone() } else { parent };
        Self { path, root }
    }

    /// The file that is really written: links are followed, but not out of the root, and never to a file that somebody
    /// else manages.
    pub fn resolve(&self) -> Result<PathBuf, Failure> {
        if let Some(why) = managed(&self.path) {
            return Err(Failure::new(format!("{} is not ours to write: {why}", self.path.display()))
                .help("choose another file with --file, or print the entry with --print"));
        }
        let Ok(target) = self.path.canonicalize() else {
            // Nothing there yet, or a link to nothing: what exists of the way must stay inside.
            if self.path.symlink_metadata().is_ok() {
                return Err(Failure::new(format!(
                    "{} is a symbolic link to a file that does not exist",
                    self.path.display()
                ))
                .help("make the file, or remove the link"));
            }
            return self.inside(nearest_existing(&self.path)).map(|_| self.path.clone());
        };
        self.inside(target)
    }

    fn inside(&self, target: PathBuf) -> Result<PathBuf, Failure> {
        let root = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
        if target.starts_with(&root) || root.starts_with(&target) {
            return Ok(target);
        }
        Err(Failure::new(format!(
            "{} leads through a symbolic link to {}, outside {}",
            self.path.display(),
            target.display(),
            root.display()
        ))
        .help("name the real file with --file if you mean it"))
    }
}

fn nearest_existing(path: &Path) -> PathBuf {
    path.ancestors().skip(1).find_map(|parent| parent.canonicalize().ok()).unwrap_or_default()
}

/// Why a file belongs to an administrator or a plugin instead of the person.
fn managed(path: &Path) -> Option<&'static str> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let has = |part: &str| path.components().any(|component| component.as_os_str() == part);
    let system = ["/etc", "/Library", "/usr"].iter().any(|dir| path.starts_with(dir));
    if name == "managed-mcp.json" || system {
        Some("an administrator manages it")
    } else if has("plugins") && (has(".claude") || has(".cursor") || has(".codex")) {
        Some("a plugin owns it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine<'a>(system: System, home: &Path, environment: &'a BTreeMap<String, String>) -> Machine<'a> {
        Machine { system, home: home.to_owned(), environment, project: home.join("project") }
    }

    #[test]
    fn paths_follow_the_system_and_its_variables() {
        let home = Path::new("/home/ana");
        let path = |client: &str, system, environment: &BTreeMap<String, String>| {
            let client = Client::named(client).expect("client");
            machine(system, home, environment).user_file(client).map(|place| place.path.display().to_string())
        };
        let none = BTreeMap::new();
        let some = |path: &str| Some(path.to_owned());
        assert_eq!(path("vscode", System::Linux, &none), some("/home/ana/.config/Code/User/mcp.json"));
        assert_eq!(
            path("vscode", System::Mac, &none),
            some("/home/ana/Library/Application Support/Code/User/mcp.json")
        );
        assert_eq!(path("zed", System::Mac, &none), some("/home/ana/.config/zed/settings.json"));
        assert_eq!(path("librechat", System::Linux, &none), None);
        let set = |name: &str, text: &str| BTreeMap::from([(name.to_owned(), text.to_owned())]);
        assert_eq!(path("codex", System::Linux, &set("CODEX_HOME", "/srv/codex")), some("/srv/codex/config.toml"));
        assert_eq!(path("codex", System::Linux, &set("CODEX_HOME", "")), some("/home/ana/.codex/config.toml"));
        assert_eq!(path("opencode", System::Linux, &set("OPENCODE_CONFIG", "/srv/o.json")), some("/srv/o.json"));
        assert_eq!(path("vscode", System::Windows, &set("APPDATA", "/roaming")), some("/roaming/Code/User/mcp.json"));
        assert_eq!(path("vscode", System::Linux, &set("XDG_CONFIG_HOME", "/xdg")), some("/xdg/Code/User/mcp.json"));
    }

    #[test]
    fn links_are_followed_inside_the_home_directory_only() {
        let dir = tempfile::tempdir().expect("directory");
        let (home, outside) = (dir.path().join("home"), dir.path().join("outside"));
        for path in [home.join("dotfiles"), home.join(".cursor"), outside.clone()] {
            std::fs::create_dir_all(path).expect("directory");
        }
        let environment = BTreeMap::new();
        let cursor = machine(System::Linux, &home, &environment)
            .user_file(Client::named("cursor").expect("cursor"))
            .expect("place");
        assert_eq!(cursor.resolve().expect("absent"), home.join(".cursor/mcp.json"));

        let inside = home.join("dotfiles/mcp.json");
        std::fs::write(&inside, "{}").expect("write");
        std::os::unix::fs::symlink(&inside, &cursor.path).expect("link");
        assert_eq!(cursor.resolve().expect("inside"), inside.canonicalize().expect("canonical"));

        std::fs::remove_file(&cursor.path).expect("remove");
        std::fs::write(outside.join("mcp.json"), "{}").expect("write");
        std::os::unix::fs::symlink(outside.join("mcp.json"), &cursor.path).expect("link");
        assert!(cursor.resolve().expect_err("outside").what.contains("outside"));

        std::fs::remove_file(&cursor.path).expect("remove");
        std::os::unix::fs::symlink(home.join("nothing"), &cursor.path).expect("link");
        assert!(cursor.resolve().expect_err("dangling").what.contains("does not exist"));

        std::fs::remove_file(&cursor.path).expect("remove");
        std::fs::remove_dir(home.join(".cursor")).expect("remove");
        std::os::unix::fs::symlink(&outside, home.join(".cursor")).expect("link");
        assert!(cursor.resolve().is_err(), "a linked directory leads outside too");
    }

    #[test]
    fn managed_and_plugin_files_are_not_ours() {
        for path in [
            "/etc/claude-code/managed-mcp.json",
            "/home/ana/.claude/plugins/cache/x/.mcp.json",
            "/etc/codex/config.toml",
        ] {
            let place = Place { path: path.into(), root: "/".into() };
            assert!(place.resolve().is_err(), "{path}");
        }
    }
}
