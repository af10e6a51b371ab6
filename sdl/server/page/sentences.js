// What the engine and the server say in English, in the language of the page.
//
// The record keeps each sentence as it was said, in English, with names and numbers in it. Here stand its forms: {} is
// where a name or a number stands, {0} where it goes in Japanese, {0*} where it is a sentence itself, {0!} where it has
// to be one that is known, {0s} where it is a state, {0o} an order, {0r} how an act ended. Matching takes the first place of each piece and never goes back, so that no text of
// anybody's takes long. What fits no form stays as it is. A test compares the forms with the sources that say them.

import { current, hasWord, t } from "./words.js";

const JAPANESE = [
  // why a trial waits
  ["step {} {}", "ステップ {0}：{1!}"],
  ["waits for approval", "承認待ち"],
  ["step {} waits for a free station{}", "ステップ {0} は空きステーション待ち{1*}"],
  ["waits for step {} of its own trial", "同じ試行のステップ {0} を待っています"],
  ["waits for {}, busy with {}{}", "{0} を待っています（使用中：{1*}{2*}）"],
  ["waits for {}, which {} keeps", "{0} を待っています（{1*} が保持中）"],
  ["waits for {}, which is out of order", "{0} を待っています（故障中）"],
  ["waits for the hours of {}{}", "{0} の稼働時間を待っています{1*}"],
  ["waits for {} more to share the run on {}{}", "{1} で一緒に処理する試料をあと {0} 個待っています{2*}"],
  ["waits, or {} could not begin in time after it{}", "今始めると次の {0} が時間内に始められないため、待っています{1*}"],
  ["waits for {}, which is kept free for {} of {}{}", "{0} を待っています（{2*} の {1} のために確保中{3*}）"],
  ["waits for {}, which {} takes first", "{0} を待っています（{1*} が先）"],
  ["waits, or it and {} could come to hold what the other needs", "{0*} と互いに必要なものを塞ぎ合わないよう、待っています"],
  ["waits for its time in the schedule made ahead{}", "事前に立てた予定の時刻を待っています{0*}"],
  ["no station can ever run it: it is longer than {} is ever open", "実行できるステーションがありません：{0} の稼働時間より長くかかります"],
  ["trial {} lacks {} ({})", "試行 {0} に不足しているもの：{1*}（{2*}）"],
  ["sdl stock shows the account, and takes what was added (add) or counted (count)", "sdl stock で在庫を確認し、補充（add）や棚卸し（count）を記録できます"],
  ["a position in {}: the stock has no such rack", "{0} の位置：そのラックは在庫にありません"],
  ["a free position in {}: {}", "{0} の空き位置：{1*}"],
  // approvals, and why a campaign stands as it does
  ["the campaign only suggests", "このキャンペーンは提案のみ行います"],
  ["each trial is approved", "試行ごとに承認が必要です"],
  ["each batch is approved", "バッチごとに承認が必要です"],
  ["{}, which needs no approval", "承認の要らない範囲の外です：{0*}"],
  ["the first {} trials need no approval, and this is trial {}", "最初の {0} 試行は承認不要ですが、これは試行 {1} です"],
  ["a cost of {} needs no approval, and it would be more", "費用 {0} までは承認不要ですが、それを超えます"],
  ["{} laboratory hours need no approval, and they are over", "ラボ時間 {0} 時間までは承認不要ですが、使い切りました"],
  ["{} suggested; at autonomy level 0 nothing is executed", "{0*} を提案しました。自律レベル 0 では何も実行しません"],
  ["{} wait{} for approval ({})", "{0*} が承認を待っています（{2*}）"],
  ["sdl approve lists them, and takes the answer", "sdl approve で一覧と回答ができます"],
  ["refused by {}: {}", "{0} が却下：{1}"],
  ["{} by {}{}", "{1} が{0!}{2*}"],
  ["the server was closed", "サーバーが終了しました"],
  ["stopped on request", "要求により停止"],
  ["aborted on request", "要求により中断"],
  ["interrupted twice", "2 回の割り込みにより中断"],
  ["it could not begin: {}", "開始できませんでした：{0*}"],
  ["everything was stopped while it began", "開始中にすべてが停止されました"],
  ["{} trials, as many as the budget allows", "{0} 試行：予算の上限に達しました"],
  ["the budget of {} laboratory hours is used", "ラボ時間 {0} 時間の予算を使い切りました"],
  ["the budget of {} is used: {} spent", "予算 {0} を使い切りました（支出 {1}）"],
  ["trial {} does not fit the budget: {}", "試行 {0} は予算に収まりません：{1*}"],
  ["it costs {}, and {} of the budget of {} is left", "費用は {0}、予算 {2} の残りは {1} です"],
  ["target reached: {} in trial {}", "目標達成：試行 {1} で {0}"],
  ["no improvement in the last {} completed trials", "直近の完了 {0} 試行で改善がありません"],
  ["no improvement expected: {} at the next trial, less than {}", "改善が見込めません：次の試行で {0}（基準 {1} 未満）"],
  ["{} failures in a row", "{0} 回続けて失敗"],
  ["the planner has nothing left to propose", "プランナーに提案できるものが残っていません"],
  ["the planner failed, and nothing may answer in its place: {}", "プランナーが失敗し、代わりに答えるものがありません：{0*}"],
  ["planner {} did not answer within {} s", "プランナー {0} は {1} 秒以内に答えませんでした"],
  // why a trial was proposed
  ["{} proposed it, after {} results and with {} pending.", "{0} が提案しました（結果 {1} 件、未完了 {2} 件の時点）。"],
  ["It stood in for the planner, which failed: {}.", "失敗したプランナーの代わりです：{0*}。"],
  ["Its {} is {}.", "{0} は {1} です。"],
  ["{} of what it may gain comes from doubt, the rest from what is expected.", "見込まれる改善の {0} は不確かさから、残りは予測から来ています。"],
  ["The runner-up has {}.", "次点は {0} です。"],
  ["Drawn at random.", "無作為に選びました。"],
  ["The next grid point.", "格子の次の点です。"],
  ["From number {} of a {} on.", "{1*}の {0} 番目からです。"],
  ["Far from all of the {} points tried before.", "これまでに試した {0} 点のすべてから遠い点です。"],
  ["The model could not be fitted to these numbers; lengthscales were assumed.", "この値にモデルを当てはめられなかったため、長さ尺度は仮定しました。"],
  ["Chosen far from all other points, because no model could be computed ({}).", "モデルを計算できなかったため、ほかの点から遠い点を選びました（{0}）。"],
  ["Named by a person, to be tried before anything else.", "最初に試すよう人が指定した点です。"],
  ["Before there are enough data. The prior mean favours this point.", "データが十分でない段階です。事前平均がこの点を支持します。"],
  ["Before there is a model. {}", "モデルができる前の点です。{0*}"],
  ["Chosen by a person.", "人が選びました。"],
  ["Expected {}, by Gaussian processes on {} observations{}.{}", "予測：{0}（{1} 件の観測によるガウス過程{2}）。{3*}"],
  ["It explores: a gain is possible here rather than expected.", "探索です：改善は見込みというより可能性です。"],
  ["It exploits: most of the gain is expected.", "活用です：改善の大部分が見込まれています。"],
  ["{} of the expected gain is exploration.", "見込まれる改善の {0} は探索によるものです。"],
  ["The model of {}: {}.", "{0} のモデル：{1}。"],
  ["{} drifts: by {} since the first trial, all else equal.", "{0} に変動があります：最初の試行から、ほかの条件が同じなら {1}。"],
  ["{} of trial {} does not fit the others, and counts less.", "試行 {1} の {0} はほかと合わないため、軽く扱います。"],
  ["The prior mean of {} misleads, and is not used.", "{0} の事前平均は誤解を招くため、使いません。"],
  ["Trial {} is measured again, {} of {} times.", "試行 {0} の再測定です（{2} 回中 {1} 回目）。"],
  // what became of acts and trials
  ["the process that ran it is gone", "実行していたプロセスがなくなりました"],
  ["the process that ran session {} is gone", "セッション {0} を実行していたプロセスがなくなりました"],
  ["it ended as {}", "「{0r}」として終わりました"],
  ["no end is recorded", "終わりの記録がありません"],
  ["it was aborted before it began: {}", "始まる前に中断されました：{0*}"],
  ["it was stopped, and did not say how far it came", "停止され、どこまで進んだか分かりません"],
  ["{} was begun, and nobody knows whether it was done", "{0} を始めましたが、行われたかどうか分かりません"],
  ["{} failed, perhaps half way: {}", "{0} は、おそらく途中で失敗しました：{1*}"],
  ["step {} was cut off, and the experiment now has {}", "ステップ {0} が途中で切れ、実験には今 {1} があります"],
  ["a person has answered", "人が回答しました"],
  ["answered by a person: {}", "人の回答：{0}"],
  ["a person decides", "人が決めます"],
  ["{} cannot tell, so the sample is discarded", "{0} には分からないため、試料を廃棄します"],
  ["{}; not tried again: {}", "{0*}。再試行しません：{1*}"],
  ["nobody has agreed to another attempt", "再試行に同意した人がいません"],
  ["step {} failed: {}", "ステップ {0} が失敗しました：{1*}"],
  ["step {} has run for {} s on {}, and {} s were expected: look whether it still does something", "ステップ {0} は {2} で {1} 秒続いています（見込み {3} 秒）。まだ動いているか確認してください"],
  ["{} could not do it: {}", "{0} にはできませんでした：{1}"],
  ["no reason given", "理由の記入なし"],
  ["{} = {} to the last digit in {} results in a row", "{0} = {1} が {2} 回続けて最後の桁まで同じです"],
  ["{} is {} standard deviations from {}, the limit is {}", "{0} は {2} から標準偏差の {1} 倍離れています（限度 {3}）"],
  // alarms
  ["{}, and the interlock {} requires {}: {}", "{0*}。インターロック {1} の条件は {2} です：{3*}"],
  ["unknown: it was never read", "不明（読み取られていません）"],
  ["unknown: {}, and {} are allowed", "不明（{0*}、許容 {1}）"],
  ["{} takes no command: {}", "{0} は命令を受け付けません：{1*}"],
  ["no step starts: {}", "ステップは始まりません：{0*}"],
  ["station {} is latched by the interlock {}: {}", "ステーション {0} はインターロック {1} によりロックされています：{2*}"],
  // rehearsals and models
  ["run in virtual time with the simulated laboratory, at points from all over the space", "模擬ラボで、空間全体の点について仮想時間で実行しました"],
  ["from how long the steps are declared to take, or took before", "ステップの申告時間、または過去の実績によります"],
  ["not rehearsed: the laboratory is a real one", "リハーサルなし：実際のラボです"],
  ["nobody knows how long {} takes", "{0} の所要時間が分かりません"],
  ["the number of trials is not known", "試行の数が分かりません"],
  ["{}: {} are needed, and {} are left", "{0}：必要 {1}、残り {2}"],
  ["the rehearsal ended: {}", "リハーサルの終わり方：{0*}"],
  ["{} of {} trials were run, and the others taken to be like them", "{1} 試行中 {0} 試行を実行し、残りは同様と見なしました"],
  ["it took more than {} s to rehearse", "リハーサルに {0} 秒以上かかりました"],
  ["the campaign has not begun", "キャンペーンはまだ始まっていません"],
  ["planner {} has no model", "プランナー {0} にはモデルがありません"],
  ["the model could not be asked: {}", "モデルに問い合わせできませんでした：{0*}"],
  ["no trial is completed yet", "完了した試行はまだありません"],
  ["through trial {}", "試行 {0} を通る断面"],
  // what is not done, and the way out
  ["there is no campaign {}", "キャンペーン {0} はありません"],
  ["or you may not see it", "または閲覧できません"],
  ["another campaign is being rehearsed", "ほかのキャンペーンがリハーサル中です"],
  ["a planner is being asked for somebody else", "ほかの人のためにプランナーへ問い合わせ中です"],
  ["ask again in a few seconds", "数秒後にもう一度試してください"],
  ["there is a campaign {} already", "キャンペーン {0} は既にあります"],
  ["give it another name", "別の名前を付けてください"],
  ["{} may hand in campaigns of autonomy level {} at most, and this asks for {}", "{0} が提出できるのは自律レベル {1} までですが、これは {2} を求めています"],
  ["say autonomy: {level: {}}; somebody with the role approve may raise it", "autonomy: {level: {0}} としてください。approve の役割を持つ人が上げられます"],
  ["{} may not put a campaign before those of others (priority {})", "{0} はほかの人のキャンペーンより優先させることはできません（優先度 {1}）"],
  ["hand it in with priority 0 or below, and ask somebody with the role operate", "優先度 0 以下で提出し、operate の役割を持つ人に頼んでください"],
  ["campaign {} is {}: it cannot {}", "キャンペーン {0} は「{1s}」の状態で、「{2o}」はできません"],
  ["it can {}", "できること：{0}"],
  ["{} has {} campaign {}: {} may not resume it", "{0} がキャンペーン {2} を「{1s}」にしました。{3} は再開できません"],
  ["somebody with the role operate can", "operate の役割を持つ人ができます"],
  ["there is no station {}", "ステーション {0} はありません"],
  ["there is {}", "あるもの：{0}"],
  ["devices are still on their way to be safe", "装置がまだ安全な状態へ移行中です"],
  ["wait for them", "お待ちください"],
  ["{} may not agree that acts which cannot be taken back are done again (on_unknown: redo)", "{0} は取り消せない操作のやり直し（on_unknown: redo）に同意できません"],
  ["say on_unknown: ask, or failed; or ask somebody with the role operate to hand it in", "on_unknown: ask か failed とするか、operate の役割を持つ人に提出を頼んでください"],
  ["it was not done in time", "時間内に行えませんでした"],
  ["the laboratory is busy: a planner thinks, or a disk is slow; ask again", "ラボは取り込み中です（プランナーの計算中か、ディスクが遅い）。もう一度試してください"],
  ["the laboratory runs no campaigns any more", "ラボはもうキャンペーンを実行していません"],
  ["it was closed", "閉じられました"],
  ["the laboratory is being closed", "ラボを終了しています"],
  ["start it again later", "後でもう一度開始してください"],
  ["the input is wrong", "入力に誤りがあります"],
  ["the request is too large", "要求が大きすぎます"],
  ["something went wrong that nobody foresaw", "予期しない問題が起きました"],
  ["the server's log says more", "サーバーのログに詳細があります"],
  ["no token, or one that is nobody's", "トークンがないか、誰のものでもありません"],
  ["send Authorization: Bearer sdl_...; sdl users makes tokens", "トークンは sdl users で発行します"],
  ["too many requests", "要求が多すぎます"],
  ["wait {} s", "{0} 秒お待ちください"],
  ["{} may not do that: it takes the role {}", "{0} にはできません。必要な役割：{1}"],
  ["{} has {}; sdl users gives roles", "{0} の役割：{1}（sdl users で与えます）"],
  ["{} may lower the level of autonomy, and this is {} to {}", "{0} は自律レベルを下げることだけができますが、これは {1} から {2} への変更です"],
  ["somebody with the role approve may raise it, or change envelope and budget", "上げること、範囲や予算の変更は approve の役割を持つ人ができます"],
  ["campaign {} belongs to {}", "キャンペーン {0} の所有者は {1} です"],
  ["{} can do that, or somebody with the role {}", "{0} か、{1} の役割を持つ人ができます"],
  ["campaign {} has no trial {}", "キャンペーン {0} に試行 {1} はありません"],
  ["it has {}", "あるもの：{0}"],
  ["trial {} is {}: it has no result to judge", "試行 {0} は「{1s}」の状態で、判定する結果がありません"],
  ["trial {} is {}: there is nothing to answer", "試行 {0} は「{1s}」の状態で、回答することはありません"],
  ["trial {} has no act {}", "試行 {0} に該当する操作はありません：{1*}"],
  ["say then:", "then: を指定してください"],
  ["the answer says nothing", "回答に内容がありません"],
  ["say answer: or then:", "answer: か then: を指定してください"],
  ["there is no request for trial {}", "試行 {0} の承認依頼はありません"],
  ["ask for the approvals of the campaign", "キャンペーンの承認依頼を確認してください"],
  ["no trial waits for request {} any more", "承認依頼 {0} を待つ試行はもうありません"],
  ["request {} was {} by {} already", "承認依頼 {0} は {2} が既に回答しました（{1}）"],
  ["a refusal needs a reason", "却下には理由が必要です"],
  ["say what speaks against it", "反対する理由を書いてください"],
  ["there is no such task", "その作業はありません"],
  ["the task is {}", "作業：{0}"],
  ["the task does not wait any more", "その作業はもう待っていません"],
  ["somebody has answered it, or it was stopped", "誰かが回答したか、停止されました"],
  ["the note says that it failed, and the answer that it is done", "メモは失敗、回答は完了となっています"],
  ["answer: failed", "回答を「できなかった」にしてください"],
  ["campaign {} has not begun", "キャンペーン {0} はまだ始まっていません"],
  ["it is queued, or was not started", "待機中か、開始されていません"],
  ["nothing is latched{}", "ロックされているものはありません{0*}"],
  ["whoever answers for a station gives a reason", "ステーションの責任を負う人は理由を書いてください"],
  ["say what was found, and what was done about it", "見つけたことと、その処置を書いてください"],
  ["{} needs a reason", "{0} には理由が必要です"],
  ["say because: \"what you did or saw\"", "行ったことや見たことを because: に書いてください"],
  ["there are {} lots of {}", "{1} には {0} ロットあります"],
  ["name one of {}", "次のどれかを指定してください：{0}"],
  ["there is no lot {} of {}", "{1} のロット {0} はありません"],
  ["too many watch already", "閲覧者が多すぎます"],
  ["close some of your lines", "開いている画面をいくつか閉じてください"],
  // campaign files that make no sense
  ["the file: {}: {}", "ファイル：{0}：{1*}"],
  ["{}, line {}: {}", "{0*} {1} 行目：{2*}"],
  ["{} (and {} more to mend)", "{0*}（ほかに {1} 件）"],
  ["the campaign would never end", "キャンペーンが終わりません"],
  ["say budget: {trials: 30}", "budget: {trials: 30} のように指定してください"],
  ["this is {}, not {}", "ここは {0} で、{1} ではありません"],
  ["leave lab: out", "lab: を書かないでください"],
  ["the laboratory's own people say that, in its file", "それはラボの担当者がラボのファイルで決めます"],
  ["no options, clock, interlocks, stock or remote can be handed in", "options、clock、interlocks、stock、remote は提出できません"],
  ["{} is not among what campaigns may name here", "{0} はここで指定できるものにありません"],
  ["there is {}; the laboratory's file may list more", "使えるもの：{0}（ラボのファイルで増やせます）"],
  ["no files can be named", "ファイルは指定できません"],
  ["hand the data in as trials", "データは試行として提出してください"],
  ["make a discrete space of it", "離散的な空間にしてください"],
  ["the laboratory has one journal", "ラボの記録は一つです"],
  ["leave store: out", "store: を書かないでください"],
  ["unknown key {}", "不明なキー {0}"],
  ["did you mean {}? {}", "{0} のことですか？ {1*}"],
  ["allowed are {}", "使えるキー：{0}"],
  ["the key {} is missing", "キー {0} がありません"],
  ["there is no {} {}", "{0} {1} はありません"],
  ["one of {}", "次のどれか：{0}"],
  ["{}{}, got {}", "{0*}{1}（入力：{2}）"],
  ["it is one of {}, or module:Class", "次のどれか、または module:Class：{0}"],
  ["{} is no YAML: {}", "{0*} は YAML ではありません：{1}"],
  ["{} is empty", "{0*} は空です"],
  ["{} holds no keys", "{0*} にキーがありません"],
  ["Field required", "必須です"],
  ["String should have at least {} character{}", "{0} 文字以上が必要です"],
  ["String should have at most {} character{}", "{0} 文字までです"],
  ["String should match pattern '{}'", "形式が違います（{0}）"],
  ["Input should be a valid {}", "種類が違います（{0}）"],
  ["Input should be greater than or equal to {}", "{0} 以上が必要です"],
  ["Input should be less than or equal to {}", "{0} 以下が必要です"],
  ["Input should be greater than {}", "{0} より大きい値が必要です"],
  ["Input should be {}", "次のどれかが必要です：{0}"],
  ["the envelope names {}, which is no parameter", "範囲にある {0} はパラメータではありません"],
  ["autonomy level 3 has neither an envelope nor a budget: nothing would be asked", "自律レベル 3 に範囲も予算もなく、何も確認されません"],
  ["say envelope: {temperature: [20, 300]} or budget: {trials: 10}; or level 2, or 4", "envelope: {temperature: [20, 300]} や budget: {trials: 10} を指定するか、レベルを 2 か 4 にしてください"],
];

/** What stands only within a sentence: too little to be known by itself. */
const PARTS = [
  [" ({})", "（{0*}）"],
  ["{} has {}", "{0} では {1*}"],
  ["trial{} {}: {}", "試行 {1}：{2*}"],
  ["waits{}", "待っています{0*}"],
  [", until {}", "、{0} まで"],
  [", until {} at the latest", "、遅くとも {0} まで"],
  [", which opens {}", "（{0} から）"],
  ["something else", "ほかの作業"],
  ["a step", "ステップ"],
  ["trial{} {}", "試行 {1}"],
  ["{} of {} are taken", "{1} か所中 {0} か所が使用中"],
  ["{} are used up", "使用済み {0} か所"],
  ["{} by suspect samples", "要確認の試料 {0} か所"],
  ["{} = {} is none of {}", "{0} = {1} は {2} のどれでもありません"],
  ["{} = {} is outside {}", "{0} = {1} は {2} の範囲外です"],
  ["paused", "一時停止"],
  ["stopped", "停止"],
  ["aborted", "中断"],
  ["cancelled", "取り消し"],
  ["scrambled Sobol sequence", "スクランブル Sobol 列"],
  ["Latin hypercube", "ラテン超方格"],
  ["Latin hypercube of {}", "{0} 点のラテン超方格"],
  ["tripped", "作動しました"],
  ["{} was sent {}", "{0} に {1} が送られました"],
  ["{} was to act", "{0} が動こうとしました"],
  ["{} is {}", "{0} は {1*}"],
  ["of unknown age", "古さ不明"],
  ["{} s old", "{0} 秒前の値"],
  ["it is latched", "ロックされています"],
  ["that nobody knows of", "結果が不明なもの"],
  [" on station {}", "（ステーション {0}）"],
  ["the file", "ファイル"],
];

const DEEPEST = 9; // sentences in sentences
const LONGEST = 3000; // characters of what is looked at
const KEPT = 1000; // sentences that are remembered
const MOST = 1000; // parts of a sentence that are looked at: nobody writes so many, and whoever does is not to freeze the page

/** How little of anybody's own a form lets in: what is put behind something first, then what says most itself. */
const firmness = (pieces) => pieces.join("").length + (/^[, ]/.test(pieces[0]) ? 1000 : 0);
const formsOf = (rows) => rows.map(([english, japanese]) => ({ pieces: english.split("{}"), japanese }))
  .sort((one, other) => firmness(other.pieces) - firmness(one.pieces));
const wholes = [formsOf(JAPANESE)];
const parts = [...wholes, formsOf(PARTS)];
const known = new Map();
let left = MOST; // parts of the sentence that may still be looked at

/** What parts begin with that are put behind something: where two holes meet, the second begins there. */
const TAILS = [": ", ...PARTS.map(([english]) => english.split("{}")[0]).filter((piece) => /^[, ]/.test(piece))];

const FAMILIES = { s: "st", o: "do", r: "o" };

/** Say *text*, which the engine or the server has written, in the language of the page. */
export function said(text) {
  if (!text || current() !== "ja") return text ?? "";
  const given = String(text);
  if (!known.has(given)) {
    if (known.size >= KEPT) known.clear();
    left = MOST;
    known.set(given, translated(given, wholes) ?? given);
  }
  return known.get(given);
}

/** Say a text in one of the *forms*, or as several sentences; null where nothing of it has a form. */
function translated(text, forms, depth = 0) {
  left -= 1;
  if (left < 0 || depth > DEEPEST || text.length > LONGEST) return null;
  const more = (part) => translated(part, forms, depth + 1);
  const capital = text.charAt(0).toUpperCase() + text.slice(1); // what stands alone elsewhere is a part of a sentence here
  for (const some of forms) {
    for (const one of new Set([text, text.trim(), capital])) {
      const found = whole(one, some, depth);
      if (found !== null) return found;
    }
  }
  return inParts(text, more, "; ", "；") ?? inParts(text, more, /(?<=[.。]) (?=[A-Z])/, "") ?? afterColon(text, more);
}

/** Say a text that has one of the forms; null where it has none. */
function whole(text, forms, depth) {
  for (const { pieces, japanese } of forms) {
    const holes = holesOf(text, pieces);
    const found = holes && filled(japanese, holes, depth);
    if (found) return found;
  }
  return null;
}

/** Put what stands in the holes of a sentence into its translation; null where they do not fit. */
function filled(japanese, holes, depth) {
  let isKnown = true;
  const found = japanese.replace(/\{(\d)([*!sor]?)\}/g, (_, place, kind) => {
    const hole = holes[place];
    if (FAMILIES[kind]) return hasWord(`${FAMILIES[kind]}_${hole}`) ? t(`${FAMILIES[kind]}_${hole}`) : hole;
    if (!kind) {
      if (hole.includes("; ")) isKnown = false; // several sentences, which are looked at one by one
      return hole;
    }
    const sentence = translated(hole, parts, depth + 1);
    if (kind === "!" && sentence === null) isKnown = false;
    return sentence ?? hole;
  });
  return isKnown ? found : null;
}

/** What stands between the pieces of a form; null where the text has not this form. */
function holesOf(text, pieces) {
  const [first, last] = [pieces[0], pieces.at(-1)];
  if (pieces.length === 1) return text === first ? [] : null;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return null;
  const holes = [];
  const end = text.length - last.length;
  let from = first.length;
  for (const [place, piece] of pieces.slice(1, -1).entries()) {
    const at = piece ? text.indexOf(piece, from) : meeting(text, from, end, pieces[place + 2]);
    if (at < 0 || at + piece.length > end) return null;
    holes.push(text.slice(from, at));
    from = at + piece.length;
  }
  return [...holes, text.slice(from, end)];
}

/** Where the second of two holes begins that meet; the first has all where nothing says so. */
function meeting(text, from, end, next) {
  const limit = next && text.indexOf(next, from) >= 0 ? text.indexOf(next, from) : end;
  return Math.min(limit, ...TAILS.map((tail) => text.indexOf(tail, from)).filter((at) => at >= 0));
}

/** Say several sentences; null where the text is one, or none of them has a form. */
function inParts(text, more, between, joint) {
  const given = text.split(between);
  const found = given.length < 2 ? [] : given.map(more);
  return found.some((part) => part !== null) ? found.map((part, place) => part ?? given[place]).join(joint) : null;
}

/** Say what comes after a name and a colon. */
function afterColon(text, more) {
  const at = text.indexOf(": ");
  const found = at < 0 ? null : more(text.slice(at + 2));
  return found === null ? null : `${text.slice(0, at)}：${found}`;
}
