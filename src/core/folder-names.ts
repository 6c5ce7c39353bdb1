import type { Placement } from './message.ts';

type FolderPlacement = Extract<Placement, 'spam' | 'sent' | 'drafts' | 'trash' | 'archive'>;

/**
 * What providers and mail programs call their folders, in the language of their user: Gmail (below `[Gmail]/`), Outlook
 * and Exchange (`Junk Email`), Yahoo and AOL (`Bulk Mail`), iCloud (`Sent Messages`, `Deleted Messages`), Thunderbird,
 * GMX and web.de, Yandex, QQ, NetEase, Naver. Names that people also give to folders of their own for something else
 * ("Werbung", "Old") are left out: only a server's special use (RFC 6154) can tell of these.
 */
const NAMES: Readonly<Record<FolderPlacement, readonly string[]>> = {
  spam: [
    ...['Spam', 'Junk', 'Junk Email', 'Junk E-mail', 'Junk Mail', 'Junk Messages', 'Bulk', 'Bulk Mail'],
    ...['Spamverdacht', 'Spam-Ordner', 'Spamordner', 'Junk-E-Mail', 'Unerwünscht'],
    ...['Courrier indésirable', 'Courriers indésirables', 'Indésirables', 'Pourriel', 'Pourriels'],
    ...['Correo no deseado', 'Correo basura', 'No deseado', 'Correu brossa'],
    ...['Lixo eletrônico', 'Lixo Eletrónico', 'Lixo Electrónico', 'Correio eletrônico não solicitado'],
    ...['Posta indesiderata', 'Indesiderata', 'Ongewenste e-mail', 'Ongewenst', 'Ongewenste reclame'],
    ...['Skräppost', 'Søppelpost', 'Søppel-e-post', 'Uønsket mail', 'Uønsket e-post', 'Uønsket e-mail'],
    ...['Roskaposti', 'Roskasähköposti', 'Wiadomości-śmieci', 'Wiadomości śmieci', 'Niechciane'],
    ...['Nevyžádaná pošta', 'Nevyžiadaná pošta', 'Levélszemét', 'E-mail nedorit', 'Mesaje nedorite'],
    ...['Спам', 'Нежелательная почта', 'Небажана пошта', 'Нежелана пошта', 'Ανεπιθύμητη αλληλογραφία'],
    ...['Ανεπιθύμητα', 'İstenmeyen E-posta', 'İstenmeyen', 'Önemsiz', 'Önemsiz E-posta', 'Gereksiz'],
    ...[
      '垃圾邮件',
      '垃圾郵件',
      '垃圾邮箱',
      '垃圾箱',
      '垃圾信件',
      '迷惑メール',
      'スパム',
      '정크 메일',
      '스팸',
      '스팸메일함',
      '스팸함',
    ],
    ...[
      'דואר זבל',
      'ספאם',
      'بريد عشوائي',
      'البريد غير الهام',
      'الرسائل غير المرغوب فيها',
      'สแปม',
      'อีเมลขยะ',
      'Thư rác',
    ],
  ],
  sent: [
    ...['Sent', 'Sent Mail', 'Sent Items', 'Sent Messages', 'Sent Objects', 'Sent E-mail', 'Sent Email'],
    ...['Gesendet', 'Gesendete Objekte', 'Gesendete Elemente', 'Gesendete Nachrichten'],
    ...['Messages envoyés', 'Éléments envoyés', 'Courrier envoyé', 'Envoyés', 'Objets envoyés'],
    ...['Enviados', 'Elementos enviados', 'Mensajes enviados', 'Correo enviado', 'Enviats'],
    ...['Itens Enviados', 'Itens enviados', 'E-mails enviados', 'Mensagens enviadas', 'Correio enviado'],
    ...['Posta inviata', 'Inviata', 'Inviati', 'Elementi inviati', 'Verzonden', 'Verzonden items'],
    ...['Verzonden berichten', 'Skickat', 'Skickade', 'Skickade objekt', 'Sendt', 'Sendte elementer'],
    ...['Sendte e-mails', 'Sendt post', 'Sendt e-post', 'Sendt mail', 'Lähetetyt', 'Lähetetyt viestit'],
    ...['Wysłane', 'Elementy wysłane', 'Odeslané', 'Odeslaná pošta', 'Odoslané', 'Odoslaná pošta'],
    ...[
      'Elküldött üzenetek',
      'Elküldött elemek',
      'Elküldött',
      'Mesaje trimise',
      'Elemente trimise',
      'Trimise',
    ],
    ...['Отправленные', 'Отправленные элементы', 'Отправленное', 'Надіслані', 'Надіслані елементи'],
    ...['Απεσταλμένα', 'Gönderilmiş Postalar', 'Gönderilmiş Öğeler', 'Gönderilenler', 'Gönderilmiş'],
    ...[
      '已发送',
      '已发送邮件',
      '已傳送郵件',
      '已傳送',
      '寄件備份',
      '已发邮件',
      '送信済み',
      '送信済みメール',
      '送信済みアイテム',
    ],
    ...[
      '보낸편지함',
      '보낸 편지함',
      '보낸메일함',
      '보낸 메일함',
      'דואר שנשלח',
      'פריטים שנשלחו',
      'العناصر المرسلة',
    ],
    ...['البريد المرسل', 'จดหมายที่ส่งแล้ว', 'รายการที่ถูกส่ง', 'Thư đã gửi'],
  ],
  drafts: [
    ...['Drafts', 'Draft', 'Draft Messages', 'Entwürfe', 'Entwurf', 'Brouillons', 'Brouillon', 'Borradores'],
    ...[
      'Borrador',
      'Esborranys',
      'Rascunhos',
      'Rascunho',
      'Bozze',
      'Bozza',
      'Concepten',
      'Utkast',
      'Kladder',
    ],
    ...[
      'Luonnokset',
      'Wersje robocze',
      'Szkice',
      'Koncepty',
      'Rozepsané',
      'Rozpísané',
      'Piszkozatok',
      'Ciorne',
    ],
    ...['Schițe', 'Черновики', 'Чернетки', 'Πρόχειρα', 'Taslaklar', '草稿', '草稿箱', '草稿夾', '下書き'],
    ...['임시보관함', '임시 보관함', 'טיוטות', 'مسودات', 'المسودات', 'ร่างจดหมาย', 'แบบร่าง', 'Thư nháp'],
  ],
  trash: [
    ...[
      'Trash',
      'Bin',
      'Deleted',
      'Deleted Items',
      'Deleted Messages',
      'Deleted Mail',
      'Rubbish',
      'Wastebasket',
    ],
    ...[
      'Papierkorb',
      'Gelöscht',
      'Gelöschte Objekte',
      'Gelöschte Elemente',
      'Corbeille',
      'Éléments supprimés',
    ],
    ...['Messages supprimés', 'Papelera', 'Papelera de reciclaje', 'Elementos eliminados', 'Eliminados'],
    ...['Mensajes eliminados', 'Paperera', 'Lixeira', 'Lixo', 'Itens Excluídos', 'Itens Eliminados'],
    ...['Cestino', 'Posta eliminata', 'Eliminata', 'Elementi eliminati', 'Prullenbak', 'Prullenmand'],
    ...['Verwijderde items', 'Papperskorgen', 'Borttaget', 'Borttagna objekt', 'Papirkurv', 'Papirkurven'],
    ...['Slettet post', 'Slettede elementer', 'Søppelbøtte', 'Roskakori', 'Poistetut', 'Kosz'],
    ...['Elementy usunięte', 'Koš', 'Kôš', 'Odstraněná pošta', 'Odstránená pošta', 'Kuka', 'Törölt elemek'],
    ...[
      'Coș de gunoi',
      'Elemente șterse',
      'Корзина',
      'Удаленные',
      'Удалённые',
      'Кошик',
      'Видалені',
      'Κάδος απορριμμάτων',
    ],
    ...[
      'Κάδος',
      'Διαγραμμένα',
      'Çöp Kutusu',
      'Çöp',
      'Silinmiş Öğeler',
      'Silinmiş Postalar',
      '已删除',
      '已删除邮件',
    ],
    ...[
      '已刪除的郵件',
      '刪除的郵件',
      '垃圾桶',
      '废纸篓',
      '回收站',
      'ゴミ箱',
      'ごみ箱',
      '削除済みアイテム',
      '휴지통',
      '지운 편지함',
    ],
    ...['אשפה', 'פריטים שנמחקו', 'المهملات', 'سلة المهملات', 'العناصر المحذوفة', 'ถังขยะ', 'Thùng rác'],
  ],
  archive: [
    ...['Archive', 'Archives', 'Archived', 'Archiv', 'Archivé', 'Archivo', 'Archivado', 'Arxiu', 'Arquivo'],
    ...['Arquivo Morto', 'Arquivados', 'Archivio', 'Archief', 'Arkiv', 'Arkisto', 'Archiwum', 'Archív'],
    ...['Archívum', 'Arhivă', 'Архив', 'Архів', 'Αρχειοθήκη', 'Arşiv', '存档', '归档', '封存', 'アーカイブ'],
    ...['보관', '보관함', 'ארכיון', 'الأرشيف', 'ที่เก็บถาวร', 'Lưu trữ'],
  ],
};

const PLACEMENTS: ReadonlyMap<string, FolderPlacement> = new Map(
  // The cast holds: these are the keys of the record above.
  (Object.keys(NAMES) as FolderPlacement[]).flatMap((placement) =>
    NAMES[placement].map((name) => [keyOf(name), placement] as const),
  ),
);

/**
 * What a folder is for, by its name: of the whole path, else of what stands behind its last `/`, else behind its last
 * `.`, the two delimiters that are met with. So it holds below `[Gmail]/`, `[Google Mail]/` and `INBOX.` alike.
 *
 * @param path decoded from IMAP's modified UTF-7. Undefined for a name that no provider is known to use so.
 */
export function findPlacementOfName(path: string): FolderPlacement | undefined {
  const key = keyOf(path);
  const name = key.slice(key.lastIndexOf('/') + 1);
  return PLACEMENTS.get(key) ?? PLACEMENTS.get(name) ?? PLACEMENTS.get(name.slice(name.lastIndexOf('.') + 1));
}

/** Without case, and é as one character or two alike. The small form of İ keeps its dot as a character of its own. */
function keyOf(name: string): string {
  return name.normalize('NFC').toLowerCase().replaceAll('\u0307', '').trim();
}
