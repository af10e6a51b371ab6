// What the page says, in English and in Japanese.

const ENGLISH = {
  skip: "To the content", campaigns: "Campaigns", laboratory: "Laboratory", inbox: "Inbox", stock: "Stock", submit: "New campaign", do_submit: "Submit",
  language: "日本語", sign_in: "Sign in", sign_out: "Sign out", token: "Token", token_hint: "Whoever runs the laboratory makes one: sdl users add NAME",
  live: "live", connecting: "connecting…", lost: "no connection; trying again", stop_everything: "Stop everything",
  stop_everything_text: "Every station is stopped at once. What is interrupted may be lost. This is no emergency stop: that is a button on the wall.",
  because: "Because", cancel: "Cancel", confirm: "Do it", done: "Done", not_done: "Not done", busy: "The laboratory is busy; asking again in", no_campaigns: "There is no campaign that you may see.",
  state: "State", goal: "Goal", trials: "Trials", best: "Best", owner: "Owner", name: "Name", of: "of", cost: "Cost",
  minimize: "minimise", maximize: "maximise", target: "reach",
  st_submitted: "submitted", st_queued: "queued", st_running: "running", st_pausing: "pausing", st_paused: "paused", st_finished: "finished",
  st_stopped: "stopped", st_aborted: "aborted", st_cancelled: "cancelled", st_error: "error", st_proposed: "proposed", st_completed: "completed",
  st_failed: "failed", st_abandoned: "abandoned", st_unknown: "unknown", st_idle: "idle", st_working: "working", st_latched: "latched",
  v_valid: "valid", v_suspect: "suspect", v_invalid: "invalid", v_none: "not judged",
  do_start: "Start", do_pause: "Pause", do_resume: "Resume", do_stop: "Stop", do_abort: "Abort now", do_cancel: "Give up for good",
  says_pause: "Running trials end; none is begun.", says_stop: "Running trials end, then the campaign does.", says_abort: "What runs is interrupted at once. Its trials are lost.",
  says_cancel: "The campaign is given up and cannot be resumed.", says_start: "The campaign begins.", says_resume: "The campaign goes on.",
  progress: "Progress", by_trial: "by trial", by_time: "by time", best_so_far: "best so far", measured: "measured", failed: "failed",
  trial: "Trial", front: "Front", on_front: "on the front", others: "others", parallel: "Parameters and outcomes of all trials", parallel_hint: "One line per completed trial; the best are darkest and on top.", time: "Time", model: "What the model believes",
  model_band: "mean and 95 % of it, through the best point", no_model: "There is no model yet.", table: "Trials", download: "Download as CSV",
  values: "Values", outcome: "Outcome", why: "Why", began: "Began", ended: "Ended", verdict: "Verdict", newest: "Newest", newer: "Newer", older: "Older",
  decision: "Why this trial", predicted: "Expected", runner_up: "Runner-up", runners_up: "Runners-up", acquisition: "Worth", influences: "Trials that speak most for it",
  steps: "Steps", step: "Step", station: "Station", acts: "Acts", act: "Act", device: "Device", evidence: "Evidence", comments: "Comments", comment: "Comment", say: "Say it",
  waits: "Waits", nothing_waits: "Nothing waits for a person.", approvals: "To approve", approve: "Approve", refuse: "Refuse", asked: "asked", unknown_acts: "Nobody knows what happened",
  happened: "It happened", did_not_happen: "It did not", cannot_tell: "Cannot tell: discard", then: "And then", then_policy: "as the campaign says", redo: "do it again",
  mark_failed: "mark it failed", abandon: "give it up", rearm: "Arm again", latches: "Stopped stations", shortages: "Lacking", tasks: "Tasks", task_done: "Done", task_failed: "Could not be done", note: "Note", takes_about: "takes about",
  timeline: "Timeline", past: "past", now: "now", planned: "planned", doing: "Doing", nothing: "nothing", since: "since", abort_step: "Stop this step",
  abort_step_text: "What runs at this station is interrupted at once.", alarms: "Alarms", no_alarms: "No alarm.", no_waits: "Nothing waits.", another: "another campaign", material: "Material", left: "Left", reserved: "Reserved", consumed: "Used",
  unexplained: "Unexplained", lots: "Lots", expires: "expires", expired: "expired", racks: "Racks", free: "free", samples: "Samples", sample: "Sample", where: "Where", count: "Count", counted: "Counted amount",
  no_stock: "The laboratory keeps no books of its stock.", file: "Campaign file", file_hint: "As docs describe it; the laboratory is this one.", rehearse: "Rehearse", rehearsal: "Rehearsal",
  begins: "begins", would_end: "would end", bottleneck: "Bottleneck", enough: "enough", too_little: "too little", warnings: "Warnings", visibility: "Who may see it",
  private: "only me", group: "a group", open: "everybody", groups: "Groups", embargo: "Not before", autonomy: "Autonomy",
  level_0: "suggests only", level_1: "each trial is approved", level_2: "each batch is approved", level_3: "free inside an envelope and a budget", level_4: "free within the laboratory's limits",
  level: "Level", simulated: "simulated", days: "d", hours: "h", minutes: "min", seconds: "s", planner: "Planner", lab_time: "Laboratory time", remaining: "left, as far as can be told",
  change: "Change", judge: "Judge it", by: "by", agent: "agent", engine_failed: "The engine has stopped", engine_ending: "The server is being ended: what runs ends first, and nothing begins until it is started again.",
  no_line: "There is no connection to the laboratory, and it is not known whether this was done. Look before you do it again.",
  f_limit: "limit", f_interlock: "interlock", f_device: "device", f_timeout: "too long", f_readback: "not where it was sent", f_measurement: "measurement", f_plan: "plan",
  f_aborted: "aborted", f_sample: "sample in doubt", f_late: "too late", f_interrupted: "cut off", o_done: "done", o_failed: "failed", o_refused: "refused", o_unknown: "unknown",
  a_read: "reads", a_set_absolute: "sets", a_cumulative: "adds up", a_irreversible: "cannot be undone", a_transfer: "carries", kind: "Kind",
  ap_approved: "approved", ap_refused: "refused", ap_withdrawn: "withdrawn", show_trial: "Show trial", expected: "expected", level_asks: "level", hint: "Hint", no_trials: "No trial yet.", updated: "Updated",
};

const JAPANESE = {
  skip: "本文へ", campaigns: "キャンペーン", laboratory: "ラボ", inbox: "受信箱", stock: "在庫", submit: "新規キャンペーン", do_submit: "提出",
  language: "English", sign_in: "サインイン", sign_out: "サインアウト", token: "トークン", token_hint: "ラボの管理者が sdl users add NAME で発行します",
  live: "ライブ", connecting: "接続中…", lost: "接続が切れました。再接続しています", stop_everything: "すべて停止",
  stop_everything_text: "すべてのステーションを直ちに停止します。中断された作業は失われることがあります。これは非常停止ではありません。非常停止は壁のボタンです。",
  because: "理由", cancel: "やめる", confirm: "実行", done: "完了", not_done: "実行できませんでした", busy: "ラボは取り込み中です。再試行まで", no_campaigns: "閲覧できるキャンペーンはありません。",
  state: "状態", goal: "目標", trials: "試行", best: "最良", owner: "所有者", name: "名前", of: "/", cost: "費用",
  minimize: "最小化", maximize: "最大化", target: "目標値",
  st_submitted: "提出済み", st_queued: "待機中", st_running: "実行中", st_pausing: "一時停止中…", st_paused: "一時停止", st_finished: "終了",
  st_stopped: "停止", st_aborted: "中断", st_cancelled: "取り消し", st_error: "エラー", st_proposed: "提案", st_completed: "完了",
  st_failed: "失敗", st_abandoned: "断念", st_unknown: "不明", st_idle: "空き", st_working: "作業中", st_latched: "ロック",
  v_valid: "有効", v_suspect: "疑わしい", v_invalid: "無効", v_none: "未判定",
  do_start: "開始", do_pause: "一時停止", do_resume: "再開", do_stop: "停止", do_abort: "直ちに中断", do_cancel: "完全に取り消す",
  says_pause: "実行中の試行は最後まで行い、新しい試行は始めません。", says_stop: "実行中の試行の終了後、キャンペーンを終えます。", says_abort: "実行中のものを直ちに中断します。その試行は失われます。",
  says_cancel: "キャンペーンを取り消します。再開はできません。", says_start: "キャンペーンを開始します。", says_resume: "キャンペーンを再開します。",
  progress: "進捗", by_trial: "試行ごと", by_time: "時間ごと", best_so_far: "これまでの最良", measured: "測定値", failed: "失敗",
  trial: "試行", front: "パレートフロント", on_front: "フロント上", others: "その他", parallel: "全試行のパラメータと結果", parallel_hint: "完了した試行ごとに1本の線。最良のものほど濃く、手前に描きます。", time: "時刻", model: "モデルの予測",
  model_band: "最良点を通る平均と95 %区間", no_model: "モデルはまだありません。", table: "試行一覧", download: "CSVをダウンロード",
  values: "値", outcome: "結果", why: "理由", began: "開始", ended: "終了", verdict: "判定", newest: "最新", newer: "新しい方へ", older: "古い方へ",
  decision: "この試行を選んだ理由", predicted: "予測", runner_up: "次点", runners_up: "次点", acquisition: "価値", influences: "最も影響した試行",
  steps: "ステップ", step: "ステップ", station: "ステーション", acts: "操作", act: "操作", device: "装置", evidence: "証拠", comments: "コメント", comment: "コメント", say: "書き込む",
  waits: "待ち", nothing_waits: "人を待っているものはありません。", approvals: "承認待ち", approve: "承認", refuse: "却下", asked: "依頼", unknown_acts: "結果が不明な操作",
  happened: "行われた", did_not_happen: "行われなかった", cannot_tell: "分からない（廃棄）", then: "その後", then_policy: "キャンペーンの方針どおり", redo: "やり直す",
  mark_failed: "失敗とする", abandon: "断念する", rearm: "再び有効にする", latches: "停止したステーション", shortages: "不足", tasks: "作業", task_done: "完了", task_failed: "できなかった", note: "メモ", takes_about: "所要目安",
  timeline: "タイムライン", past: "過去", now: "現在", planned: "予定", doing: "作業", nothing: "なし", since: "開始時刻", abort_step: "このステップを停止",
  abort_step_text: "このステーションで実行中のものを直ちに中断します。", alarms: "警報", no_alarms: "警報はありません。", no_waits: "待っているものはありません。", another: "他のキャンペーン", material: "試薬・消耗品", left: "残り", reserved: "予約", consumed: "使用",
  unexplained: "不明分", lots: "ロット", expires: "期限", expired: "期限切れ", racks: "ラック", free: "空き", samples: "試料", sample: "試料", where: "場所", count: "数える", counted: "数えた量",
  no_stock: "このラボは在庫を管理していません。", file: "キャンペーンファイル", file_hint: "書式は文書を参照。ラボはこのラボです。", rehearse: "リハーサル", rehearsal: "リハーサル",
  begins: "開始", would_end: "終了見込み", bottleneck: "ボトルネック", enough: "足りる", too_little: "不足", warnings: "警告", visibility: "公開範囲",
  private: "自分だけ", group: "グループ", open: "全員", groups: "グループ", embargo: "公開日", autonomy: "自律レベル",
  level_0: "提案のみ", level_1: "試行ごとに承認", level_2: "バッチごとに承認", level_3: "範囲と予算の中で自由", level_4: "ラボの制限の中で自由",
  level: "レベル", simulated: "シミュレーション", days: "日", hours: "時間", minutes: "分", seconds: "秒", planner: "プランナー", lab_time: "ラボ時間", remaining: "残り（見込み）",
  "sm_in process": "処理中", sm_fresh: "未使用", sm_measured: "測定済み", sm_suspect: "要確認", sm_consumed: "消費済み", sm_lost: "紛失", sm_made: "作製済み", change: "変更", judge: "判定する",
  by: "担当", agent: "エージェント", engine_failed: "エンジンが停止しました", engine_ending: "サーバーを終了しています。実行中のものは最後まで行い、再起動するまで新しいものは始めません。",
  no_line: "ラボに接続できません。実行されたかどうか分かりません。もう一度行う前に確認してください。",
  f_limit: "制限", f_interlock: "インターロック", f_device: "装置", f_timeout: "時間超過", f_readback: "位置の不一致", f_measurement: "測定", f_plan: "プラン",
  f_aborted: "中断", f_sample: "要確認の試料", f_late: "時間切れ", f_interrupted: "途中で切断", o_done: "完了", o_failed: "失敗", o_refused: "拒否", o_unknown: "不明",
  a_read: "読み取り", a_set_absolute: "設定", a_cumulative: "累積", a_irreversible: "取り消し不可", a_transfer: "搬送", kind: "種類",
  ap_approved: "承認", ap_refused: "却下", ap_withdrawn: "取り下げ", show_trial: "試行を表示", expected: "予測", level_asks: "レベル", hint: "ヒント", no_trials: "試行はまだありません。", updated: "更新",
};

const LANGUAGES = { en: ENGLISH, ja: JAPANESE };
const KEY = "sdl language";

let language = localStorage.getItem(KEY) ?? (navigator.language.startsWith("ja") ? "ja" : "en");

export const current = () => language;

/** Say *key* in the language of the page. */
export function t(key) {
  return LANGUAGES[language][key] ?? ENGLISH[key] ?? key;
}

/** Whether there is a word for *key* in the language of the page. */
export const hasWord = (key) => key in LANGUAGES[language];

export function switchLanguage() {
  language = language === "en" ? "ja" : "en";
  localStorage.setItem(KEY, language);
}

/** A number as a person reads it. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace(/\.?0*e\+?/, "e");
  return String(Number(value.toPrecision(4)));
}

/** A value with its unit and, where there is one, its standard error. */
export function quantity(measured) {
  if (measured === null || measured === undefined) return "–";
  if (typeof measured.value === "string") return measured.value;
  const error = measured.standard_error ? ` ± ${number(measured.standard_error)}` : "";
  return `${number(measured.value)}${error}${measured.unit ? ` ${measured.unit}` : ""}`;
}

/** Several of them, by name. */
export function quantities(named) {
  return Object.entries(named ?? {}).map(([name, one]) => `${name} ${quantity(one)}`).join(", ");
}

/** How a sample is, in words; what has no translation stays as it is. */
export const sampleState = (state) => LANGUAGES[language][`sm_${state}`] ?? state;

/** A moment in the reader's own time. */
export function moment(text) {
  return text ? formatOf(true).format(new Date(text)) : "–";
}

const formats = {};

/** What writes a moment, with the time of day and the day or only one of them; to make it takes longer than to use it. */
export function formatOf(hasTime, hasDay = true) {
  const time = hasTime ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : {};
  const day = hasDay ? { month: "short", day: "numeric" } : {};
  return formats[`${language} ${hasTime} ${hasDay}`] ??= new Intl.DateTimeFormat(language, { ...day, ...time });
}

/** So many seconds in words. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${Math.round(seconds)} ${t("seconds")}`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} ${t("minutes")}`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} ${t("hours")}`;
  return `${(seconds / 86400).toFixed(1)} ${t("days")}`;
}

/** What is sought, in a few words. */
export function goal(objective) {
  const unit = objective.unit ? ` ${objective.unit}` : "";
  if (objective.goal !== "target") return `${t(objective.goal)} ${objective.outcome}`;
  const what = objective.value ?? `${objective.low ?? "…"} – ${objective.high ?? "…"}`;
  return `${objective.outcome} = ${what}${unit}`;
}
