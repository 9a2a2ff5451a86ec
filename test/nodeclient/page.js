// The unmodified openvidu-node-client in a page, as the applications bundle it that have no server of their own.
import * as client from 'openvidu-node-client';

window.OpenViduNodeClient = client;
