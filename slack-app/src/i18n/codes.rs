//! Words for what can be wrong with a field, and for how a change ended on a box: the fact, then the
//! next step. Both languages stand side by side.

use device_model::{
    fault::FaultCode,
    lan::{Addressing, LanSettings},
    outcome::code,
    status::Alarm,
};

use crate::i18n::{Lang, fill};

/// What is wrong with a field, as the reader of the form is told.
pub fn fault(lang: Lang, code: &FaultCode) -> String {
    let (ja, en) = fault_words(code);
    let parameters = code.parameters();
    let parameters = parameters.iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (*name, text)
    });
    let parameters: Vec<_> = parameters.collect();
    let places: Vec<_> = parameters.iter().map(|(name, text)| (*name, text.as_str())).collect();
    fill(pick(lang, ja, en), &places)
}

/// Why a change ended as it did. A code that is newer than these words is shown as it is.
pub fn verdict(lang: Lang, code: &str, tried: &LanSettings) -> String {
    let Some((ja, en)) = verdict_words(code) else {
        return code.to_owned();
    };
    let (address, gateway) = match tried.addressing() {
        Addressing::Static { address, gateway } => (Some(address.addr()), *gateway),
        Addressing::Dhcp => (None, None),
    };
    let text = |value: Option<std::net::Ipv4Addr>| value.map_or_else(|| "DHCP".to_owned(), |v| v.to_string());
    fill(pick(lang, ja, en), &[("address", &text(address)), ("gateway", &text(gateway))])
}

/// What stands wrong with a box, and what to do about it.
pub fn alarm(lang: Lang, alarm: Alarm) -> &'static str {
    let (ja, en) = alarm_words(alarm);
    pick(lang, ja, en)
}

fn pick<'a>(lang: Lang, ja: &'a str, en: &'a str) -> &'a str {
    match lang {
        Lang::Ja => ja,
        Lang::En => en,
    }
}

pub(super) fn fault_words(code: &FaultCode) -> (&'static str, &'static str) {
    match code {
        FaultCode::Required => ("入力してください。", "Please fill this in."),
        FaultCode::NotAllowedHere => (
            "ほかの項目の内容と一緒には使えません。空にしてください。",
            "This has no meaning next to the other fields. Please leave it empty.",
        ),
        FaultCode::UnknownField => ("この項目は使えません。", "This field is not known here."),
        FaultCode::UnknownValue { .. } => {
            ("次のいずれかを選んでください: {allowed}", "Please choose one of: {allowed}")
        }
        FaultCode::NotAnIpv4Address => {
            ("IPアドレスの形ではありません。例: 192.168.10.9", "This is not an IP address. E.g. 192.168.10.9")
        }
        FaultCode::NotACidr => (
            "アドレスとマスクの形ではありません。例: 192.168.20.0/24",
            "This is not an address with a prefix length. E.g. 192.168.20.0/24",
        ),
        FaultCode::PrefixOutOfRange { .. } => (
            "/{min} から /{max} の範囲で入力してください。例: 255.255.255.0",
            "Please give a mask from /{min} to /{max}. E.g. 255.255.255.0",
        ),
        FaultCode::NotPrivate => (
            "プライベートアドレスではありません。10.、172.16〜31.、192.168. で始まるアドレスを入力してください。",
            "This is not a private address. Please use 10.x, 172.16-31.x or 192.168.x.",
        ),
        FaultCode::NetworkAddress => (
            "ネットワーク自体のアドレスです。機器のアドレスを入力してください。",
            "This is the network's own address. Please give a host's.",
        ),
        FaultCode::BroadcastAddress => (
            "ブロードキャストアドレスです。機器のアドレスを入力してください。",
            "This is the broadcast address. Please give a host's.",
        ),
        FaultCode::OutsideSubnet => (
            "IPアドレスと同じネットワークにありません。IPアドレスとサブネットマスクも確認してください。",
            "This is not in the network of the IP address. Please check the IP address and the mask too.",
        ),
        FaultCode::OwnAddress => (
            "レセハブ自身のアドレスです。別の機器のアドレスを入力してください。",
            "This is the box's own address. Please give another host's.",
        ),
        FaultCode::OverlapsWan => (
            "専用回線で使用中のアドレス帯と重なっています。別のアドレスにしてください。",
            "This overlaps a network of the box's own line. Please use another.",
        ),
        FaultCode::DefaultRoute => (
            "デフォルトルートは専用回線のものなので設定できません。この行を消してください。",
            "The default route belongs to the box's own line. Please remove this line.",
        ),
        FaultCode::HostBits => (
            "ネットワークのアドレスではありません。例: 192.168.20.0/24",
            "This is a host, not a network. E.g. 192.168.20.0/24",
        ),
        FaultCode::Duplicate => (
            "同じものが2回入力されています。片方を消してください。",
            "This is given twice. Please remove one.",
        ),
        FaultCode::OutOfRange { .. } => {
            ("{min} から {max} の範囲で入力してください。", "Please give {min} to {max}.")
        }
        FaultCode::TooMany { .. } => ("{max}件までにしてください。", "Please give at most {max}."),
        FaultCode::TooLong { .. } => {
            ("{max}文字までにしてください。", "Please use at most {max} characters.")
        }
        FaultCode::BadCharacter => (
            "使えない文字が入っています。消してください。",
            "This holds a character that cannot be used. Please remove it.",
        ),
        FaultCode::ReservedName => (
            "ファイルサーバーが別の意味で使う名前です。ほかの名前を入力してください。",
            "The file server uses this name for itself. Please choose another.",
        ),
        FaultCode::NotAfterStart => {
            ("開始より後の時刻にしてください。", "Please give a time after the beginning.")
        }
        FaultCode::InThePast => (
            "すでに過ぎています。これからの日時にしてください。",
            "This has gone by. Please give a time to come.",
        ),
        FaultCode::NotATime => ("時刻の形ではありません。例: 01:30", "This is not a time. E.g. 01:30"),
        FaultCode::NotATimestamp => (
            "日時の形ではありません。例: 2026-11-22T15:00:00Z",
            "This is not a date and time. E.g. 2026-11-22T15:00:00Z",
        ),
        FaultCode::NotText => ("文字で入力してください。", "Please give text."),
        FaultCode::NotANumber => ("整数で入力してください。", "Please give a whole number."),
        FaultCode::NotABoolean => ("true か false を入力してください。", "Please give true or false."),
        FaultCode::NotAList => ("一覧の形ではありません。", "This is not a list. Please give one."),
        FaultCode::NotAnObject => {
            ("項目の集まりの形ではありません。", "This is not a set of fields. Please give one.")
        }
    }
}

pub(super) fn verdict_words(verdict: &str) -> Option<(&'static str, &'static str)> {
    Some(match verdict {
        code::GATEWAY_SILENT => (
            "デフォルトゲートウェイ({gateway})から応答がありません。入力値と、ルーターの電源・LANケーブルを確認してください。",
            "The default gateway ({gateway}) does not answer. Please check the value, the router's power and the LAN cable.",
        ),
        code::SHARE_LOGIN => (
            "共有フォルダにログインできません。ユーザー名とパスワードを確認してください。",
            "The shared folder refuses the login. Please check user name and password.",
        ),
        code::CLOUD_UNREACHABLE => (
            "変更後、専用回線からクラウドに接続できなくなりました。設定を見直してから、もう一度登録してください。",
            "After the change the box could not reach the cloud on its own line. Please review the settings and register again.",
        ),
        code::ADDRESS_IN_USE => (
            "このIPアドレス({address})は薬局内の別の機器が使用中です。空いているアドレスを確認して、もう一度登録してください。",
            "The IP address ({address}) is in use by another device in the pharmacy. Please find a free one and register again.",
        ),
        code::DEFAULT_ROUTE_MOVED => (
            "通信が薬局LAN側に流れる設定になるため中止しました。デフォルトゲートウェイと静的ルートを見直してください。",
            "The settings would have led the box's own traffic into the pharmacy's LAN. Please review gateway and static routes.",
        ),
        code::OVERLAPS_WAN => (
            "専用回線で使用中のアドレス帯と重なっています。別のアドレス帯にしてください。",
            "The settings overlap a network of the box's own line. Please use another network.",
        ),
        code::NO_CARRIER => (
            "レセハブのLAN端子に機器がつながっていません。LANケーブルと、つながる先のハブの電源を確認してください。",
            "Nothing is connected to the box's LAN port. Please check the LAN cable and the power of the switch it leads to.",
        ),
        code::NO_LEASE => (
            "薬局のDHCPサーバーからIPアドレスが割り当てられませんでした。ルーターのDHCP設定を確認するか、固定で登録してください。",
            "No DHCP server in the pharmacy gave the box an address. Please check the router's DHCP, or register a fixed address.",
        ),
        code::LEASE_REFUSED => (
            "薬局のDHCPサーバーから割り当てられた内容はレセハブで使えません(専用回線との重なりなど)。ルーターのDHCP設定を確認するか、固定で登録してください。",
            "What the pharmacy's DHCP server gave cannot be used by the box, e.g. it overlaps the box's own line. Please check the router's DHCP, or register a fixed address.",
        ),
        code::DNS_SILENT => (
            "DNSサーバーから応答がありません。入力値と、DNSサーバー(ルーターなど)の電源を確認してください。",
            "The DNS server does not answer. Please check the value and the power of the DNS server, often the router.",
        ),
        code::ADDRESS_NOT_SET => (
            "入力されたIPアドレスか静的ルートがレセハブに設定されませんでした。もう一度登録し、続くときは管理者に連絡してください。",
            "The box did not come to have the address or the routes as asked. Please register again; if it goes on, tell an administrator.",
        ),
        code::SHARE_NOT_SET => (
            "レセハブの共有フォルダの設定を変更できませんでした。もう一度登録し、続くときは管理者に連絡してください。",
            "The box's shared folder did not take the settings. Please register again; if it goes on, tell an administrator.",
        ),
        code::SHARE_NOT_HOSTED => (
            "共有フォルダはレセハブの外(レセコンなど)にあるため、レセハブからは変更できません。共有フォルダの項目を外して、もう一度登録してください。",
            "The shared folder is not on the box but on another machine, which the box cannot change. Please register again without it.",
        ),
        code::APPLY_FAILED => (
            "レセハブのネットワークが設定を受け付けませんでした。もう一度登録し、続くときは管理者に連絡してください。",
            "The box's network did not take the settings. Please register again; if it goes on, tell an administrator.",
        ),
        code::INTERRUPTED => (
            "反映の途中で3回中断されました。レセハブの電源とLANケーブルを確認して、もう一度登録してください。",
            "Three attempts were cut short. Please check the box's power and LAN cable and register again.",
        ),
        code::BAD_SETTINGS => (
            "レセハブがこの設定を読み取れませんでした。設定を見直してから、もう一度登録してください。",
            "The box could not read these settings. Please review them and register again.",
        ),
        code::AGENT_TOO_OLD => (
            "レセハブのソフトウェアが古く、この設定に対応していません。ソフトウェアを更新してから、もう一度登録してください。",
            "The box's software is too old for these settings. Please update it and register again.",
        ),
        code::WINDOW_MISSED => (
            "指定された時間内に反映できませんでした。日時を選び直して、もう一度登録してください。",
            "The change could not be applied in its time window. Please choose another and register again.",
        ),
        code::PASSWORD_UNREADABLE => (
            "共有フォルダのパスワードをレセハブで開けませんでした。パスワードを設定し直してください。",
            "The box could not open the shared folder's password. Please set the password again.",
        ),
        code::NEWER_CHANGE => (
            "新しい変更が登録されたため、この変更は反映されません。新しい変更の結果を確認してください。",
            "A newer change took this one's place. Please see how that one ends.",
        ),
        code::NOT_TAKEN_UP => (
            "レセハブが受け取る前に取りやめになり、設定は変わっていません。必要なときは、もう一度登録してください。",
            "This was taken back before the box took it up, and nothing has changed. Please register again if it is still needed.",
        ),
        code::JOURNAL_CORRUPT => (
            "反映の途中でレセハブの記録が壊れたため、保存済みの設定で動いています。もう一度登録し、続くときは管理者に連絡してください。",
            "The box lost its record of this change and runs the settings it had saved. Please register again; if it goes on, tell an administrator.",
        ),
        code::DESIRED_FOREIGN => (
            "このレセハブへの指示がRecehub以外から書き換えられたため、元の設定を送り直しています。心当たりがなければ管理者に連絡してください。",
            "Somebody else rewrote what this box is told, so its settings are being sent again. Please tell an administrator unless you know why.",
        ),
        _ => return None,
    })
}

pub(super) fn alarm_words(alarm: Alarm) -> (&'static str, &'static str) {
    match alarm {
        Alarm::Quarantined => (
            "送信できない要確認ファイルがあります。管理者に連絡してください。",
            "There are files that cannot be sent as they are. Please tell an administrator.",
        ),
        Alarm::BacklogOld => (
            "未送信の処方データが15分以上たまっています。レセハブの電源と通信状態を確認してください。",
            "Prescriptions have been waiting for more than 15 minutes. Please check the box's power and its line.",
        ),
        Alarm::DiskLow => (
            "レセハブの空き容量が少なく、処方データの取り込みを止めています。共有フォルダの不要なファイルを整理してください。",
            "The box has too little free space and takes in no prescriptions. Please clear the shared folder of what is not needed.",
        ),
        Alarm::SpoolFull => (
            "未送信の処方データが上限に達し、取り込みを止めています。レセハブの通信状態を確認してください。",
            "The box holds as many unsent prescriptions as it may and takes in no more. Please check its line.",
        ),
        Alarm::StoreFailing => (
            "レセハブの記録に書き込めず、処方データの取り込みを止めています。レセハブの交換を管理者に相談してください。",
            "The box cannot write its records and takes in no prescriptions. Please ask an administrator about a replacement.",
        ),
        Alarm::StoreReplaced => (
            "レセハブの記録が壊れていたため作り直し、共有フォルダを読み直しました。くり返すときは管理者に連絡してください。",
            "The box's records were broken; it began new ones and read the shared folder again. Please tell an administrator if it happens again.",
        ),
        Alarm::UploadsRefused => (
            "クラウドがこのレセハブからの送信を受け付けていません。管理者に連絡してください。",
            "The cloud refuses what this box sends. Please tell an administrator.",
        ),
        Alarm::JournalCorrupt => (
            "レセハブの設定変更の記録が壊れたため、保存済みの設定で動いています。設定を確認し、必要ならもう一度登録してください。",
            "The box lost its record of LAN changes and runs the settings it had saved. Please check them and register again if needed.",
        ),
        Alarm::ShareUnreadable => (
            "レセハブが共有フォルダを読み取れず、処方データを取り込めません。管理者に連絡してください。",
            "The box cannot look into the shared folder and takes in no prescriptions. Please tell an administrator.",
        ),
        Alarm::NotCaptured => (
            "大きすぎる、またはパスが長すぎるため取り込まれないファイルが共有フォルダにあります。レセコンの保存先と設定を確認してください。",
            "Files on the shared folder are too big or have too long a path and are not taken in. Please check the receipt computer's settings.",
        ),
        Alarm::LanDrift => (
            "現地で設定が変更されています。意図した変更か薬局に確認し、必要なら設定をもう一度登録してください。",
            "The settings were changed on site. Please ask the pharmacy whether that was meant, and register the settings again if needed.",
        ),
        Alarm::Unknown => (
            "レセハブが新しい種類の警告を出しています。管理者に連絡してください。",
            "The box raises an alarm that is not known here yet. Please tell an administrator.",
        ),
    }
}
