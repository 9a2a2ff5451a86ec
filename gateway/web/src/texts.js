// Every text that the page shows, by language. A new language is one more object here, with the same keys; {name} and the like
// are filled in. English is what is used where no language of the browser is here.

const en = {
  joinProblems: {
    'no-token': ['You need an invitation', 'Open the link that you were sent, or paste it here.'],
    'malformed-token': ['This invitation is incomplete', 'It looks cut off or mistyped. Copy the whole link and paste it again.'],
    'insecure-token': [
      'This invitation is for an unencrypted server',
      'This page is encrypted, and your browser does not let it talk to such a server. Ask for an invitation that begins with wss://.',
    ],
    'refused-token': [
      'This invitation can’t be used',
      'It has been used already, was withdrawn, or is not valid. An invitation works once: ask for a new one.',
    ],
    'unknown-room': [
      'This room doesn’t exist',
      'It may have ended, or has not been opened yet. Try again in a moment, or ask for a new invitation.',
    ],
    'closing-room': ['This room is closing', 'It has just ended for everybody. Ask whoever invited you for a new one.'],
    'no-capacity': [
      'There is no free place for this room right now',
      'All servers are busy. Try again in a minute. If your invitation then does not work any more, ask for a new one.',
    ],
    unreachable: ['The server can’t be reached', 'Check your connection to the internet, and try again.'],
    timeout: [
      'The room doesn’t answer',
      'It took too long to join. Try again. If your invitation then does not work any more, ask for a new one.',
    ],
    'unsupported-browser': ['This browser can’t join', 'Use a current version of Chrome, Edge, Firefox or Safari.'],
    'too-many': ['Too many attempts', 'The server asks for a pause. Wait a minute, and try again.'],
    unexpected: ['You couldn’t join', 'Something went wrong on the server. Try again in a moment.'],
  },
  ends: {
    disconnect: ['You left the room', 'Thanks for joining. You can close this page.'],
    forceDisconnectByServer: ['You were removed from the room', 'The organiser ended your part in the call.'],
    forceDisconnectByUser: ['You were removed from the room', 'A moderator ended your part in the call.'],
    sessionClosedByServer: ['The room has ended', 'The organiser closed it for everybody.'],
    networkDisconnect: [
      'The connection was lost',
      'You were away for too long, so your place in the room was given up. Check your connection, and join again with a new invitation.',
    ],
    nodeCrashed: [
      'The call broke off',
      'The server that ran this room went down. The room is being moved: join again with a new invitation.',
    ],
    mediaServerDisconnect: [
      'The call broke off',
      'The server that ran this room was taken out of service. Join again with a new invitation.',
    ],
    openviduServerStopped: ['The call broke off', 'The server that ran this room was stopped. Join again with a new invitation.'],
    other: ['The call has ended', 'You are no longer in the room. Join again with a new invitation.'],
  },
  mediaProblems: {
    insecure: 'Camera and microphone need a secure page (https). You can join and watch.',
    denied: 'Camera and microphone are blocked. Allow them in your browser’s address bar, or join without.',
    'camera-denied': 'The camera is blocked. Allow it in your browser’s address bar, or join without.',
    'microphone-denied': 'The microphone is blocked. Allow it in your browser’s address bar, or join without.',
    absent: 'No camera or microphone was found. You can join and watch.',
    'camera-absent': 'No camera was found. You can join with sound only.',
    'microphone-absent': 'No microphone was found. You can join with your picture only.',
    busy: 'Camera and microphone are in use by another program. Close it, or join without.',
    'camera-busy': 'The camera is in use by another program. Close it, or join without.',
    'microphone-busy': 'The microphone is in use by another program. Close it, or join without.',
  },
  notices: {
    viewer: 'You joined as a viewer: you can watch and listen.',
    promoted: 'You may speak now: turn on your microphone or camera.',
    demoted: 'You are a viewer now.',
    unpublished: 'A moderator turned off your microphone and camera.',
    'publish-failed': 'The others can’t see or hear you. Turn your microphone or camera on to try again.',
    'share-failed': 'Your screen couldn’t be shared.',
    'camera-lost': 'Your camera was disconnected.',
    'microphone-lost': 'Your microphone was disconnected.',
    'camera-problem': 'Your camera can’t be used. Choose another one, or look whether another program has it.',
    'microphone-problem': 'Your microphone can’t be used. Choose another one, or look whether another program has it.',
    'chat-failed': 'Your message couldn’t be sent. Try again.',
    'recording-started': 'This call is being recorded now.',
    'recording-stopped': 'The recording has ended.',
    'sound-blocked': 'Your browser holds the sound back. Tap anywhere to hear the others.',
    reconnected: 'You’re connected again.',
    'no-picture': '{name} can’t be received at the moment.',
  },
  // What a click on a button does, when the device is off and when it is on.
  toggles: {
    microphone: ['Turn the microphone on', 'Turn the microphone off'],
    camera: ['Turn the camera on', 'Turn the camera off'],
    screen: ['Share your screen', 'Stop sharing your screen'],
  },
  page: {
    yourPicture: 'Your picture',
    microphone: 'Microphone',
    camera: 'Camera',
    device: '{kind} {number}',
    devices: 'Camera and microphone',
    startingCamera: 'Starting your camera…',
    cameraOff: 'Your camera is off',
    joinTheRoom: 'Join the room',
    readyToJoin: 'Ready to join?',
    joinARoom: 'Join a room',
    room: 'Room {room}',
    roomElsewhere: 'Room {room} on {host}',
    pasteInvitation: 'Paste the link or the token that you were given.',
    invitation: 'Invitation',
    invitationPlaceholder: 'Paste the link or the token',
    yourName: 'Your name',
    namePlaceholder: 'How the others see you',
    join: 'Join',
    joining: 'Joining…',
    tryAgain: 'Try again',
    otherInvitation: 'Use another invitation',
    people: 'People in the room',
    recording: 'Recording',
    alone: 'You’re the only one here. Others appear as soon as they join.',
    reconnecting: 'Connection lost. Reconnecting…',
    controls: 'Call controls',
    shareScreen: 'Share your screen',
    leave: 'Leave',
    leaveTheRoom: 'Leave the room',
    joinAnew: 'Join with a new invitation',
    done: 'Done',
    guest: 'Guest',
    you: 'You',
    nameOfYou: '{name} (you)',
    more: '+{count} more',
    showLarge: 'Show large',
    showNameLarge: 'Show {name} large',
    showEqual: 'Show everybody in equal size',
    microphoneOff: 'microphone off',
    cameraOffShort: 'camera off',
    weakConnection: 'weak connection',
    chat: 'Chat',
    chatUnread: 'Chat, {count} unread',
    closeChat: 'Close the chat',
    chatEmpty: 'Messages are seen by everybody who is here now, and are gone when the page is closed.',
    messages: 'Messages',
    messageToEverybody: 'Message to everybody',
    writeToEverybody: 'Write to everybody',
    send: 'Send',
  },
};

const de = {
  joinProblems: {
    'no-token': ['Sie brauchen eine Einladung', 'Öffnen Sie den Link, den Sie bekommen haben, oder fügen Sie ihn hier ein.'],
    'malformed-token': [
      'Diese Einladung ist unvollständig',
      'Sie sieht abgeschnitten oder vertippt aus. Kopieren Sie den ganzen Link, und fügen Sie ihn noch einmal ein.',
    ],
    'insecure-token': [
      'Diese Einladung gilt für einen unverschlüsselten Server',
      'Diese Seite ist verschlüsselt, und Ihr Browser lässt sie nicht mit so einem Server sprechen. Bitten Sie um eine Einladung, die mit wss:// beginnt.',
    ],
    'refused-token': [
      'Diese Einladung ist nicht mehr gültig',
      'Sie wurde schon benutzt, wurde zurückgezogen oder war nie gültig. Eine Einladung gilt einmal: Bitten Sie um eine neue.',
    ],
    'unknown-room': [
      'Diesen Raum gibt es nicht',
      'Vielleicht ist er zu Ende oder noch nicht offen. Versuchen Sie es gleich noch einmal, oder bitten Sie um eine neue Einladung.',
    ],
    'closing-room': ['Dieser Raum schließt gerade', 'Er ist soeben für alle zu Ende gegangen. Bitten Sie um eine neue Einladung.'],
    'no-capacity': [
      'Für diesen Raum ist gerade kein Platz frei',
      'Alle Server sind ausgelastet. Versuchen Sie es in einer Minute noch einmal. Gilt Ihre Einladung dann nicht mehr, bitten Sie um eine neue.',
    ],
    unreachable: ['Der Server ist nicht erreichbar', 'Prüfen Sie Ihre Internetverbindung, und versuchen Sie es noch einmal.'],
    timeout: [
      'Der Raum antwortet nicht',
      'Das Beitreten hat zu lange gedauert. Versuchen Sie es noch einmal. Gilt Ihre Einladung dann nicht mehr, bitten Sie um eine neue.',
    ],
    'unsupported-browser': ['Mit diesem Browser geht es nicht', 'Nehmen Sie eine aktuelle Version von Chrome, Edge, Firefox oder Safari.'],
    'too-many': ['Zu viele Versuche', 'Der Server bittet um eine Pause. Warten Sie eine Minute, und versuchen Sie es noch einmal.'],
    unexpected: ['Das Beitreten ist nicht gelungen', 'Auf dem Server ging etwas schief. Versuchen Sie es gleich noch einmal.'],
  },
  ends: {
    disconnect: ['Sie haben den Raum verlassen', 'Danke für Ihre Teilnahme. Sie können diese Seite schließen.'],
    forceDisconnectByServer: ['Sie wurden aus dem Raum entfernt', 'Der Veranstalter hat Ihre Teilnahme beendet.'],
    forceDisconnectByUser: ['Sie wurden aus dem Raum entfernt', 'Ein Moderator hat Ihre Teilnahme beendet.'],
    sessionClosedByServer: ['Der Raum ist zu Ende', 'Der Veranstalter hat ihn für alle geschlossen.'],
    networkDisconnect: [
      'Die Verbindung ging verloren',
      'Sie waren zu lange weg, und Ihr Platz im Raum wurde frei. Prüfen Sie Ihre Verbindung, und treten Sie mit einer neuen Einladung bei.',
    ],
    nodeCrashed: [
      'Das Gespräch ist abgebrochen',
      'Der Server dieses Raums ist ausgefallen. Der Raum zieht um: Treten Sie mit einer neuen Einladung bei.',
    ],
    mediaServerDisconnect: [
      'Das Gespräch ist abgebrochen',
      'Der Server dieses Raums wurde außer Betrieb genommen. Treten Sie mit einer neuen Einladung bei.',
    ],
    openviduServerStopped: ['Das Gespräch ist abgebrochen', 'Der Server dieses Raums wurde angehalten. Treten Sie mit einer neuen Einladung bei.'],
    other: ['Das Gespräch ist zu Ende', 'Sie sind nicht mehr im Raum. Treten Sie mit einer neuen Einladung bei.'],
  },
  mediaProblems: {
    insecure: 'Kamera und Mikrofon brauchen eine sichere Seite (https). Sie können beitreten und zusehen.',
    denied: 'Kamera und Mikrofon sind gesperrt. Erlauben Sie sie in der Adresszeile Ihres Browsers, oder treten Sie ohne bei.',
    'camera-denied': 'Die Kamera ist gesperrt. Erlauben Sie sie in der Adresszeile Ihres Browsers, oder treten Sie ohne bei.',
    'microphone-denied': 'Das Mikrofon ist gesperrt. Erlauben Sie es in der Adresszeile Ihres Browsers, oder treten Sie ohne bei.',
    absent: 'Es wurde weder Kamera noch Mikrofon gefunden. Sie können beitreten und zusehen.',
    'camera-absent': 'Es wurde keine Kamera gefunden. Sie können nur mit Ton beitreten.',
    'microphone-absent': 'Es wurde kein Mikrofon gefunden. Sie können nur mit Bild beitreten.',
    busy: 'Kamera und Mikrofon werden von einem anderen Programm benutzt. Schließen Sie es, oder treten Sie ohne bei.',
    'camera-busy': 'Die Kamera wird von einem anderen Programm benutzt. Schließen Sie es, oder treten Sie ohne bei.',
    'microphone-busy': 'Das Mikrofon wird von einem anderen Programm benutzt. Schließen Sie es, oder treten Sie ohne bei.',
  },
  notices: {
    viewer: 'Sie sind als Zuschauer dabei: Sie können zusehen und zuhören.',
    promoted: 'Sie dürfen jetzt sprechen: Schalten Sie Mikrofon oder Kamera ein.',
    demoted: 'Sie sind jetzt Zuschauer.',
    unpublished: 'Ein Moderator hat Ihr Mikrofon und Ihre Kamera ausgeschaltet.',
    'publish-failed': 'Die anderen können Sie nicht sehen oder hören. Schalten Sie Mikrofon oder Kamera noch einmal ein.',
    'share-failed': 'Ihr Bildschirm konnte nicht gezeigt werden.',
    'camera-lost': 'Ihre Kamera wurde getrennt.',
    'microphone-lost': 'Ihr Mikrofon wurde getrennt.',
    'camera-problem': 'Ihre Kamera ist nicht zu benutzen. Wählen Sie eine andere, oder sehen Sie nach, ob ein anderes Programm sie hat.',
    'microphone-problem': 'Ihr Mikrofon ist nicht zu benutzen. Wählen Sie ein anderes, oder sehen Sie nach, ob ein anderes Programm es hat.',
    'chat-failed': 'Ihre Nachricht konnte nicht gesendet werden. Versuchen Sie es noch einmal.',
    'recording-started': 'Dieses Gespräch wird jetzt aufgezeichnet.',
    'recording-stopped': 'Die Aufzeichnung ist zu Ende.',
    'sound-blocked': 'Ihr Browser hält den Ton zurück. Tippen Sie irgendwohin, um die anderen zu hören.',
    reconnected: 'Sie sind wieder verbunden.',
    'no-picture': '{name} ist im Moment nicht zu empfangen.',
  },
  toggles: {
    microphone: ['Mikrofon einschalten', 'Mikrofon ausschalten'],
    camera: ['Kamera einschalten', 'Kamera ausschalten'],
    screen: ['Bildschirm zeigen', 'Bildschirm nicht mehr zeigen'],
  },
  page: {
    yourPicture: 'Ihr Bild',
    microphone: 'Mikrofon',
    camera: 'Kamera',
    device: '{kind} {number}',
    devices: 'Kamera und Mikrofon',
    startingCamera: 'Ihre Kamera startet …',
    cameraOff: 'Ihre Kamera ist aus',
    joinTheRoom: 'Dem Raum beitreten',
    readyToJoin: 'Bereit zum Beitreten?',
    joinARoom: 'Einem Raum beitreten',
    room: 'Raum {room}',
    roomElsewhere: 'Raum {room} auf {host}',
    pasteInvitation: 'Fügen Sie den Link oder das Token ein, das Sie bekommen haben.',
    invitation: 'Einladung',
    invitationPlaceholder: 'Link oder Token einfügen',
    yourName: 'Ihr Name',
    namePlaceholder: 'Wie die anderen Sie sehen',
    join: 'Beitreten',
    joining: 'Sie treten bei …',
    tryAgain: 'Noch einmal versuchen',
    otherInvitation: 'Eine andere Einladung benutzen',
    people: 'Personen im Raum',
    recording: 'Aufzeichnung',
    alone: 'Sie sind allein hier. Andere erscheinen, sobald sie beitreten.',
    reconnecting: 'Verbindung verloren. Sie wird wiederhergestellt …',
    controls: 'Bedienung des Gesprächs',
    shareScreen: 'Bildschirm zeigen',
    leave: 'Verlassen',
    leaveTheRoom: 'Den Raum verlassen',
    joinAnew: 'Mit einer neuen Einladung beitreten',
    done: 'Fertig',
    guest: 'Gast',
    you: 'Sie',
    nameOfYou: '{name} (Sie)',
    more: '+{count} weitere',
    showLarge: 'Groß zeigen',
    showNameLarge: '{name} groß zeigen',
    showEqual: 'Alle gleich groß zeigen',
    microphoneOff: 'Mikrofon aus',
    cameraOffShort: 'Kamera aus',
    weakConnection: 'schwache Verbindung',
    chat: 'Chat',
    chatUnread: 'Chat, {count} ungelesen',
    closeChat: 'Chat schließen',
    chatEmpty: 'Nachrichten sehen alle, die gerade hier sind. Sie sind weg, wenn die Seite geschlossen wird.',
    messages: 'Nachrichten',
    messageToEverybody: 'Nachricht an alle',
    writeToEverybody: 'An alle schreiben',
    send: 'Senden',
  },
};

export const LANGUAGES = { en, de };

/**
 * The first language that is there of those that somebody prefers: de for de-AT.
 *
 * @param {readonly string[]} preferred as navigator.languages
 * @returns {keyof typeof LANGUAGES}
 */
export function languageOf(preferred) {
  const short = preferred.map((tag) => tag.toLowerCase().split('-')[0]);
  return short.find((tag) => Object.hasOwn(LANGUAGES, tag)) ?? 'en';
}

/** The page's language. */
export const language = languageOf(globalThis.navigator?.languages ?? []);

/** Its texts. */
export const texts = LANGUAGES[language];

/**
 * A text with values in it.
 *
 * @param {string} text with {name}
 * @param {Record<string, string | number>} values by name
 */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/**
 * Writes the texts of the language into elements that name them: data-text for the content, data-label, data-tip and
 * data-placeholder for attributes.
 *
 * @param {ParentNode} root
 */
export function translate(root) {
  const write = {
    text: (element, text) => {
      element.textContent = text;
    },
    label: (element, text) => element.setAttribute('aria-label', text),
    tip: (element, text) => element.setAttribute('title', text),
    placeholder: (element, text) => element.setAttribute('placeholder', text),
  };
  for (const [kind, apply] of Object.entries(write)) {
    for (const element of root.querySelectorAll(`[data-${kind}]`)) {
      apply(element, texts.page[element.dataset[kind]]);
    }
  }
  for (const { content } of root.querySelectorAll('template')) {
    translate(content);
  }
}
