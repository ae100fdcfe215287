/** What the pages say, in English and Chinese; and how they choose. */

const STORED = "cityproof.language";

export const WORDS = {
  en: {
    title: "Verify a proof",
    lead: "A proof shows that a reading was signed by its device, logged, and seen by independent witnesses. It is checked here, in your browser; no server is asked.",
    drop: "Drop proofs here, or choose files",
    dropHint: ".proof, together with the policy.txt and authorities.txt that you trust",
    trust: "Whom you trust",
    trustHint: "A proof holds under a policy (the log's key and its witnesses) and a list of authorities (who may enrol devices). Get both from someone you trust, not from whoever hands you the proof.",
    policy: "Policy:",
    authorities: "Authorities:",
    missing: "not given yet",
    shows: "What a proof shows, and what not",
    showsYes: "It shows who signed the reading, that it has not been changed since, when it was logged, and who watched.",
    showsNo: "It does not show that the sensor measured well, or that its clock was right.",
    offline: "This page works without a network once it is open; nothing that you drop here leaves your device.",
    valid: "Proven",
    invalid: "Not proven",
    waiting: "Not checked yet",
    needTrust: "Give the policy and the authorities that you trust, too.",
    unreadable: "This file could not be read.",
    notTrust: "This file is no policy or list of authorities that can be used.",
    measured: "Measured",
    device: "Device",
    subject: "About",
    area: "Area",
    arrived: "Arrived",
    enrolledBy: "Enrolled by",
    rotatedBy: "Key rotated by",
    admittedBy: "Admitted by",
    log: "Log",
    entry: "Log entry",
    witnesses: "Cosigned by",
    none: "nobody: the policy asks for none",
    steps: "The steps",
    witnessCount: (n) => `${n} witness${n === 1 ? "" : "es"}`,
    step: {
      proof: "The proof has the form that the format asks for",
      checkpoint: "The log and enough witnesses signed this checkpoint",
      log: "The block is in the log that the checkpoint is of",
      manifest: "The block says what it holds, and was seen in time",
      block: "The signed statement is in the block",
      key: "An authority that you trust enrolled the device's key",
      registry: "The key stood in the register when the block was sealed",
      statement: "The device signed the statement with that key",
      span: "The key was valid at this place of the device's sequence",
      record: "The reading is in the statement",
    },
  },
  zh: {
    title: "验证证明",
    lead: "一份证明表明：读数由其设备签名、已写入日志，并由独立见证方共同签署。验证就在您的浏览器里进行，不询问任何服务器。",
    drop: "将证明拖到这里，或选择文件",
    dropHint: ".proof 文件，以及您所信任的 policy.txt 与 authorities.txt",
    trust: "您信任谁",
    trustHint: "证明须依据一份策略（日志的密钥及其见证方）和一份机构名单（谁可以登记设备）。请从您信任的人那里取得二者，而不是从递给您证明的人那里。",
    policy: "策略：",
    authorities: "机构名单：",
    missing: "尚未提供",
    shows: "证明表明什么，不表明什么",
    showsYes: "它表明谁签署了读数、此后未被更改、何时写入日志，以及有谁见证。",
    showsNo: "它不表明传感器测得准，也不表明其时钟正确。",
    offline: "页面打开后无需网络；您拖入的内容不会离开您的设备。",
    valid: "已证明",
    invalid: "未能证明",
    waiting: "尚未验证",
    needTrust: "还请提供您信任的策略与机构名单。",
    unreadable: "无法读取此文件。",
    notTrust: "此文件不是可用的策略或机构名单。",
    measured: "测量时间",
    device: "设备",
    subject: "对象",
    area: "区域",
    arrived: "到达时间",
    enrolledBy: "登记机构",
    rotatedBy: "密钥轮换机构",
    admittedBy: "准入机构",
    log: "日志",
    entry: "日志条目",
    witnesses: "共同签署",
    none: "无：该策略不要求见证方",
    steps: "验证步骤",
    witnessCount: (n) => `${n} 个见证方`,
    step: {
      proof: "证明的格式符合规定",
      checkpoint: "日志与足够多的见证方签署了此检查点",
      log: "区块在检查点所指的日志之中",
      manifest: "区块的清单与其相符，且及时被见证",
      block: "已签名的陈述在区块之中",
      key: "您信任的机构登记了该设备的密钥",
      registry: "区块封存时，该密钥在登记册中",
      statement: "设备以此密钥签署了该陈述",
      span: "在设备序列的这一位置，密钥有效",
      record: "读数在该陈述之中",
    },
  },
};

export const STEPS = Object.keys(WORDS.en.step);

/** The language chosen before, else the browser's. */
export function chosenLanguage() {
  const stored = localStorage.getItem(STORED);
  if (stored in WORDS) return stored;
  return navigator.language.startsWith("zh") ? "zh" : "en";
}

/** Put the words of a language into every element that names one, and keep the choice. */
export function speak(language) {
  localStorage.setItem(STORED, language);
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]"))
    element.textContent = WORDS[language][element.dataset.word];
  document.title = `cityproof · ${WORDS[language].title}`;
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  return WORDS[language];
}
