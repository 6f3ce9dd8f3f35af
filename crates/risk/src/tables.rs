//! The words that the rules go by. Everything here is data; a word matches a whole token, never a part of one.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use portcullis_base::{Class, Classes};

/// Verbs that look and touch nothing, if they come first.
const READ: &str = "aggregate analyse analyze ask browse calculate check classify compare count crawl decode decompile \
    describe detect diff discover download enumerate estimate exists explain explore export extract fetch find get has \
    identify inspect introspect is learn lint list locate lookup map match measure observe paginate parse peek ping poll \
    preview query read recommend render research retrieve scan scrape search show suggest summarise summarize surface tail \
    tokenize trace transcribe validate verify view wait watch whoami whois";

/// Words that end the name of something that looks.
const READ_NOUNS: &str = "advanced check crawl details diff docs documentation examples extract findings get health help \
    history info list log logs map messages output query read research results retrieve schema scrape screenshot search \
    snapshot state stat stats status summary tree";

/// What a sentence says of something that looks, beyond [`READ`].
const READ_IN_TEXT: &str = "return provide display give diagnose examine obtain";

const WRITE: &str = "accept activate add alter append approve archive assign attach autofix block build bulk capture change checkout \
    click clone close comment commit complete configure connect convert copy create design disable dismiss draft drag duplicate \
    edit emulate enable fill finalise finalize follow fork generate grant hover import index ingest init initialize insert \
    invite isolate join label leave link lock make manage mark merge modify move mutate mute navigate new open patch pause pin \
    prepare press provision pull put rebase record recover register rename reopen reorder replace request resize resolve restart \
    restore resume save scale schedule select set share simulate stage star start stop store subscribe switch sync tag \
    track toggle transform transition type unarchive unassign unblock undelete undo unfollow unlock unmute unpin unstar \
    unsubscribe untag update upgrade upload upsert vote write";

const DESTRUCTIVE: &str = "ban decommission del delete deprovision destroy drop erase evict expunge flush kill nuke \
    obliterate overwrite prune purge remove revoke rm rmdir shred shutdown terminate trash truncate undeploy uninstall \
    unlink unpublish wipe";

/// Destructive in most mouths only.
const WEAKLY_DESTRUCTIVE: &str = "abort cancel cleanup clear cordon deactivate detach discard drain empty expire invalidate \
    kick reset revert rollback rotate suspend unregister void";

const EXECUTE: &str = "apply bash call cmd debug deploy dispatch eval evaluate exec execute inject install interpreter \
    invoke launch powershell rerun rpc run sh shell spawn terminal trigger zsh";

const FINANCIAL: &str = "buy charge deposit donate pay payout purchase redeem refund sell settle tip topup trade unstake \
    wire withdraw";

/// Financial together with one of [`TOKENS_OF_VALUE`] only.
const FINANCIAL_WITH_TOKENS: &str = "burn mint stake swap";
pub(crate) const TOKENS_OF_VALUE: &str =
    "token tokens coin coins nft nfts pool pools crypto eth btc sol usdc usdt liquidity";

const EGRESS: &str = "announce broadcast dial email forward invite mail notify post publish push reply send share sms submit \
    tweet upload";

/// Modifiers at the front of a name say how, not what.
pub(crate) const MODIFIERS: &str = "all async auto batch bulk do force maybe multi please quick safe try";
/// What makes of a change a loss.
pub(crate) const RAISING: &str = "force hard permanent permanently cascade recursive all everything factory bulk";
pub(crate) const MANY: &str = "all bulk batch everything mass many multiple";

/// Words that stand together for one thing, whatever verbs they are made of.
pub(crate) const COMPOUNDS: &[(&str, &str)] = &[
    ("pull", "request"),
    ("pull", "requests"),
    ("merge", "request"),
    ("merge", "requests"),
    ("access", "list"),
    ("access", "lists"),
    ("check", "list"),
    ("to", "do"),
    ("order", "by"),
    ("web", "hook"),
    ("web", "hooks"),
    ("call", "log"),
    ("call", "logs"),
    ("change", "log"),
    ("take", "screenshot"),
    ("take", "snapshot"),
    ("capture", "screenshot"),
    ("capture", "snapshot"),
    ("build", "log"),
    ("build", "logs"),
    ("release", "note"),
    ("release", "notes"),
    ("drop", "down"),
    ("cut", "off"),
    ("key", "value"),
    ("run", "book"),
    ("post", "code"),
    ("set", "up"),
    ("sign", "off"),
    ("clean", "room"),
];

/// Things nobody misses.
pub(crate) const HARMLESS: &str = "background breakpoint breakpoints clipboard cursor filter filters formatting highlight \
    highlights marker markers reaction screen selection star text viewport watermark whitespace cache";
/// Things that somebody does miss, whatever stands beside them.
pub(crate) const PRECIOUS: &str = "user users account accounts database databases db table tables collection collections \
    bucket buckets volume volumes repo repos repository repositories branch branches project projects cluster clusters \
    namespace namespaces domain domains record records backup backups log logs audit key keys token tokens";

pub(crate) const MONEY: &str = "balance billing card charge charges checkout coupon credit invoice invoices order orders \
    payment payments payout price refund refunds subscription subscriptions transaction transfer wallet";
/// Neighbours beside which such a word means something else.
pub(crate) const NOT_MONEY: &[(&str, &str)] = &[
    ("subscription", "notification notifications topic topics event events pubsub mailing"),
    ("subscriptions", "notification notifications topic topics event events pubsub mailing"),
    ("order", "sort in reading display"),
    ("orders", "sort"),
    ("transaction", "sql db database span trace spans traces"),
    ("transfer", "file files data ownership repository domain project"),
];

pub(crate) const TRANSFERS_MONEY: &str =
    "fund funds money balance balances payment payments token tokens coin coins amount amounts";
pub(crate) const TRANSFERS_OWNERSHIP: &str = "ownership owner repository repositories repo domain domains project projects \
    account accounts";

/// Things that run whatever they are given.
pub(crate) const RUNNERS: &str = "shell bash terminal command interpreter script repl sandbox";
/// Runs that only look, if nothing of free form is given to them.
pub(crate) const CHECKS: &str = "audit report check checks lint";

/// Verbs that reach farther in a production.
pub(crate) const REACHING: &str = "merge rebase scale stop pause restart";
pub(crate) const PRODUCTION: &str = "prod production main master release cluster instance";
/// What one does in a browser.
pub(crate) const BROWSING: &str = "click fill type press drag navigate";

/// First words that look at what a later verb would do.
pub(crate) const REHEARSALS: &str = "check validate verify preview explain estimate trace watch detect is has";
/// Words between a verb that looks and one that does.
pub(crate) const JOINTS: &str = "and or then only not";
/// Verbs that, as the last word of a name, are what it does: `list_create`, `view_drop`.
pub(crate) const SUFFIX_VERBS: &str = "create insert upsert edit add write send execute";
/// Destructive verbs that are things as well.
pub(crate) const ALSO_THINGS: &str = "trash";

/// Verbs that say in prose only how something looks.
pub(crate) const SILENT_IN_TEXT: &str = "apply trigger";
pub(crate) const OPENERS: &str = "this the a an tool function endpoint api method operation to used use uses using allow allows \
    let lets you your user users agent agents model client clients assistant can will help helps handle handles perform \
    performs process processes work works with enables for it is that which safely automatically quickly optionally \
    utility helper mcp be us one please simply";
/// Words before a verb that show that it is one.
pub(crate) const LEADING: &str = "to then will can you that which it also automatically immediately permanently must \
    may should";
pub(crate) const CONJUNCTIONS: &str = "and or then also but";
pub(crate) const NEGATIONS: &str = "never cannot cant wont dont doesnt isnt non";
/// "Never fails to delete" deletes.
pub(crate) const INSISTING: &str = "fail fails forget forgets hesitate hesitates";
/// Where the thing that is acted on ends.
pub(crate) const PREPOSITIONS: &str = "for of to from in into on onto by with using via that which when where if as at and or \
    then so within between per without through about against under over its after before";
/// Verbs that a harmless beginning is not to hide.
pub(crate) const GRAVE_IN_TEXT: &str = "send pay refund charge execute withdraw purchase";

/// What is only looked at when it is captured.
pub(crate) const PICTURES: &str = "screenshot screenshots snapshot snapshots";

pub(crate) const SHREDDING: &str = "destroy erase obliterate shred wipe purge expunge nuke";

/// Other languages: tokens of names and descriptions, in Latin letters.
const FOREIGN: &[(Class, &str)] = &[
    (
        Class::Destructive,
        "loeschen loesche loescht loschen entfernen entferne entfernt supprimer supprime eliminar elimina",
    ),
    (Class::Destructive, "borrar borra excluir exclui apagar apaga"),
    (Class::Egress, "senden sende sendet envoyer envoie enviar envia"),
    (Class::Financial, "ueberweisen ueberweist uberweisen payer paie pagar paga"),
    (Class::Execute, "ausfuehren fuehrt ausfuhren executer ejecutar ejecuta executar executa"),
    (Class::Write, "anlegen aendern andern erstellen erstellt creer cree modifier modifie crear crea criar cria"),
    (Class::Read, "lesen liest suchen sucht lire leer lee ler"),
];
/// And in letters that leave no space between words, or none of ours: found anywhere.
pub(crate) const ELSEWHERE: &[(Class, &str)] = &[
    (Class::Destructive, "删除 移除 清空 削除 삭제 удалить удаляет"),
    (Class::Egress, "发送 送信 전송 отправить отправляет"),
    (Class::Financial, "支付 转账 支払 결제 оплатить"),
    (Class::Execute, "执行 実行 실행 выполнить выполняет"),
    (Class::Write, "创建 更新 修改 作成 생성 создать создает"),
    (Class::Read, "查询 获取 列出 检索 検索 取得 一覧 조회 검색 получить получает список"),
];

// Labels.

pub(crate) const OUTSIDERS: &str = "web webpage webpages website websites url html rss feed feeds news mail mails email emails \
    inbox issue issues chat chats message messages ticket tickets comment comments review reviews thread threads discussion \
    discussions tweet tweets conversation conversations";
pub(crate) const OUTSIDERS_COMPOUND: &[&str] = &["pull request", "pull requests", "merge request", "merge requests"];
pub(crate) const FROM_OUTSIDE: &str = "crawl scrape fetch browse";
pub(crate) const PRIVATE: &str = "mail mails email emails inbox message messages file files document documents contact contacts \
    customer customers employee employees crm hr db database databases table tables row rows record records secret secrets \
    vault credential credentials calendar repository repositories repo source drive chat chats conversation conversations \
    note notes memory";
pub(crate) const SECRETS: &str = "secret secrets vault env credential credentials password passwords passwd token tokens key \
    keys apikey";
pub(crate) const IDENTITY: &str = "user users member members role roles permission permissions grant grants sso apikey acl \
    password passwords owner owners ownership identity";
pub(crate) const IDENTITY_COMPOUND: &[&str] = &["access list", "access lists"];
pub(crate) const IDENTITY_VERBS: &str = "grant invite approve ban";
pub(crate) const SINKS: &str = "gist gists tweet tweets pastebin public publish announce broadcast blog";
pub(crate) const TRACKED: &str = "issue issues comment comments discussion discussions gist gists";
pub(crate) const TRACKERS: &str = "github gitlab bitbucket codeberg public";
pub(crate) const COSTLY: &str = "incur incurs incurring billable";
pub(crate) const COSTLY_TOGETHER: &[(&str, &str)] =
    &[("cost", "warning"), ("consumes", "credits"), ("uses", "credits"), ("costs", "money"), ("costs", "credits")];
pub(crate) const FOR_GOOD: &str = "irreversible irreversibly permanently permanent undone unrecoverable irrecoverable";

/// What a verb may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verb {
    pub(crate) classes: Classes,
    pub(crate) sure: Sureness,
}

/// How far a verb can be taken at its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sureness {
    Strong,
    /// Taken for what it mostly means.
    Weak,
    /// Means two things; the graver is taken, and a person should look.
    Doubtful,
}

/// The words of `list`.
pub(crate) fn words(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split_ascii_whitespace()
}

/// Whether `word` is one of `list`.
pub(crate) fn among(list: &'static str, word: &str) -> bool {
    words(list).any(|known| known == word)
}

static MUTATING: LazyLock<HashMap<&'static str, Verb>> = LazyLock::new(|| {
    let mut all: HashMap<&'static str, Verb> = HashMap::new();
    let tables = [
        (WRITE, Class::Write, Sureness::Strong),
        (EGRESS, Class::Egress, Sureness::Strong),
        (EXECUTE, Class::Execute, Sureness::Strong),
        (WEAKLY_DESTRUCTIVE, Class::Destructive, Sureness::Weak),
        (DESTRUCTIVE, Class::Destructive, Sureness::Strong),
        (FINANCIAL, Class::Financial, Sureness::Strong),
    ];
    for (list, class, sure) in tables {
        for word in words(list) {
            let verb = all.entry(word).or_insert(Verb { classes: Classes::NONE, sure });
            verb.classes = verb.classes.with(class);
            verb.sure = if word == "evaluate" { Sureness::Doubtful } else { sure };
        }
    }
    all
});
static READING: LazyLock<HashSet<&'static str>> = LazyLock::new(|| words(READ).collect());
static READING_IN_TEXT: LazyLock<HashSet<&'static str>> = LazyLock::new(|| words(READ_IN_TEXT).collect());
static FOREIGN_VERBS: LazyLock<HashMap<&'static str, Class>> =
    LazyLock::new(|| FOREIGN.iter().flat_map(|(class, list)| words(list).map(|word| (word, *class))).collect());

/// What `word` does, if it does more than look.
pub(crate) fn mutating(word: &str) -> Option<Verb> {
    let again = || MUTATING.get(word.strip_prefix("re").filter(|bare| bare.len() > 3 && !among("call mark", bare))?);
    MUTATING.get(word).or_else(again).copied()
}

/// Whether `word` takes a picture of what it captures.
pub(crate) fn captures(word: &str) -> bool {
    word == "capture"
}

/// Whether `word` is a verb that looks.
pub(crate) fn reading(word: &str) -> bool {
    READING.contains(word)
}

/// Whether `word` is one in prose.
pub(crate) fn reading_in_text(word: &str) -> bool {
    reading(word) && !among("is has", word) || READING_IN_TEXT.contains(word)
}

/// Whether `word`, at the end of a name, names something to look at.
pub(crate) fn reading_noun(word: &str) -> bool {
    among(READ_NOUNS, word)
}

/// Whether `word` is financial beside a token of value.
pub(crate) fn financial_with_tokens(word: &str) -> bool {
    among(FINANCIAL_WITH_TOKENS, word)
}

/// What `word` means in another language.
pub(crate) fn foreign(word: &str) -> Option<Class> {
    FOREIGN_VERBS.get(word).copied()
}

/// Whether `word` is a verb of any kind: such a word is never the name of a server.
pub(crate) fn is_verb(word: &str) -> bool {
    reading(word)
        || mutating(word).is_some()
        || financial_with_tokens(word)
        || word == "transfer"
        || among(MODIFIERS, word)
        || foreign(word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_verb_looks_and_does_at_once() {
        let both: Vec<_> = words(READ).filter(|word| mutating(word).is_some()).collect();
        assert!(both.is_empty(), "{both:?}");
    }

    #[test]
    fn words_are_lower_case_and_stand_once_in_their_list() {
        for list in [
            READ,
            READ_NOUNS,
            WRITE,
            DESTRUCTIVE,
            WEAKLY_DESTRUCTIVE,
            EXECUTE,
            FINANCIAL,
            EGRESS,
            MODIFIERS,
            HARMLESS,
            PRECIOUS,
            MONEY,
            OPENERS,
            PREPOSITIONS,
            OUTSIDERS,
            PRIVATE,
            SECRETS,
            IDENTITY,
        ] {
            let mut seen = HashSet::new();
            for word in words(list) {
                assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
                assert!(seen.insert(word), "{word} stands twice");
            }
        }
        let twice: Vec<_> = words(DESTRUCTIVE).filter(|word| among(WEAKLY_DESTRUCTIVE, word)).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
